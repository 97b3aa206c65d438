"""A folder of rendered photos with their true poses in a `colmap.json`."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weights.evaluation.preparation import Prepared
from weights.evaluation.run import Outcome
from weights.scenes import Path as CameraPath
from weights.scenes import Rendering, SceneSettings, render_scene

VIEWS, WIDTH, HEIGHT = 6, 336, 252


def render_folder(folder: Path) -> Rendering:
    """Render photos and write them with a reference that lacks the last one."""
    settings = SceneSettings(VIEWS, WIDTH, HEIGHT, 60.0, CameraPath.ORBIT)
    rendering = render_scene(5, settings)
    folder.mkdir()
    for index, image in enumerate(rendering.images):
        Image.fromarray(image).save(folder / f"{index}.png")
    write_reference(folder, rendering.extrinsics[:-1], float(rendering.intrinsics[0, 0]))
    return rendering


def write_reference(
    folder: Path, extrinsics: NDArray[np.float32], focal: float, k1: float = 0.0
) -> None:
    """Write `colmap.json` for the first photos."""
    reference = {
        "size": [WIDTH, HEIGHT],
        "focal": focal,
        "k1": k1,
        "world_to_camera": {f"{k}.png": pose.tolist() for k, pose in enumerate(extrinsics)},
    }
    (folder / "colmap.json").write_text(json.dumps(reference))


def exact_outcome(rendering: Rendering, frames: list[int], prepared: Prepared) -> Outcome:
    """The ground truth in the form of a model's result for prepared frames."""
    count, height, width = prepared.images.shape[:3]
    depth = np.empty((count, height, width), np.float32)
    intrinsics = np.zeros((count, 3, 3), np.float32)
    intrinsics[:, 2, 2] = 1
    for k, frame in enumerate(frames):
        y, x = np.mgrid[:height, :width] + 0.5
        source = (np.stack([x, y], axis=-1) - prepared.offset[k]) / prepared.scale[k]
        column, row = np.floor(source).astype(int).reshape(-1, 2).T
        depth[k] = rendering.depth[frame][row, column].reshape(height, width)
        intrinsics[k, [0, 1], [0, 1]] = rendering.intrinsics[0, 0] * prepared.scale[k]
    return Outcome(
        depth=depth,
        confidence=np.full_like(depth, 2.0),
        extrinsics=rendering.extrinsics[frames],
        intrinsics=intrinsics,
        distortion=np.zeros((count, 2), np.float32),
        registered=np.ones(count, np.bool_),
        seconds=1.0,
        memory=1e6,
    )
