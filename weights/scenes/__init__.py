"""Procedural scenes with exact depth and cameras, to evaluate models.

Everything is generated from a seed, without photos or files.
"""

from dataclasses import dataclass

import numpy as np

from weights.scenes.cameras import MOVING, Path, make_cameras
from weights.scenes.render import Rendering, View, render, trace
from weights.scenes.scene import Look, Scene, make_scene

__all__ = ["Look", "Path", "Rendering", "SceneSettings", "render_scene"]

ATTEMPTS = 100
PREVIEW_WIDTH = 64


@dataclass(frozen=True)
class SceneSettings:
    """The settings of a random scene; size in pixels."""

    views: int = 6
    width: int = 336
    height: int = 252
    field_of_view: float | None = None
    """Horizontal, in degrees; None draws it from 45..80."""
    path: Path | None = None
    """None draws one of the paths on which the camera moves."""
    look: Look = Look.RICH


def render_scene(seed: int, settings: SceneSettings | None = None) -> Rendering:
    """Render a random scene; the same seed and settings give the same scene.

    Draws again if an obstacle close to a camera blocks its view.
    """
    settings = settings or SceneSettings()
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        scene = make_scene(rng, settings.look)
        path = settings.path or MOVING[rng.integers(len(MOVING))]
        field_of_view = settings.field_of_view or rng.uniform(45, 80)
        cameras = make_cameras(rng, path, settings.views, field_of_view, scene.space)
        if is_open(scene, [View(cameras, i, *_preview(settings)) for i in range(settings.views)]):
            return render(scene, cameras, settings.width, settings.height, rng)
    raise ValueError(f"no scene with seed {seed} gives every camera an open view")


def is_open(scene: Scene, views: list[View]) -> bool:
    """Whether no view is blocked and the scene is more than one flat wall."""
    depth = np.stack([trace(scene.solids, view).depth.numpy() for view in views])
    depth = np.minimum(depth, 3 * np.median(depth))  # limits the influence of the sky
    mean = float(depth.mean())
    return bool(
        depth.min() > 0.12 * mean
        and np.median(depth, axis=(1, 2)).min() > 0.25 * mean
        and depth.std() > 0.1 * mean
    )


def _preview(settings: SceneSettings) -> tuple[int, int]:
    """Width and height of a small image of the same shape."""
    return PREVIEW_WIDTH, max(round(PREVIEW_WIDTH * settings.height / settings.width), 1)
