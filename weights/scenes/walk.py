"""Walk through a house: `python -m weights.scenes.walk OUTDIR --frames 1000`.

Writes the photos as `0000.jpg` and so on in the order of the walk, `colmap.json` with their poses
(as of folders of photos with a reference), and `depth.npz` (float16, z in the camera frame). The
walker goes round and round, a step per frame, and never takes quite the same way.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weights.scenes.cameras import Array, Cameras
from weights.scenes.house import DOORS, make_house
from weights.scenes.render import render_frames

JPEG_QUALITY = 92
REFERENCE, DEPTH = "colmap.json", "depth.npz"
EYES = 1.5
"""Height of the camera in metres."""
AWAY = 0.15
"""How far the walker strays from the middle of the doors, in metres."""
CURVE = 4000
"""Points by which the length of the way is measured."""


@dataclass(frozen=True)
class WalkSettings:
    """The settings of a walk; sizes in pixels."""

    frames: int = 1000
    width: int = 252
    height: int = 182
    step: float = 0.12
    """Metres between frames."""
    field_of_view: float = 75.0
    """Horizontal, in degrees."""
    seed: int = 0


def walk_cameras(rng: np.random.Generator, settings: WalkSettings) -> Cameras:
    """Cameras along an ellipse through the middle of all four doors, again and again."""
    angle = _even_angles(settings)
    # Slow waves that do not fit the length of a round.
    waves = [np.sin(rate * angle + phase) for rate, phase in _waves(rng, 5)]
    reach = 1 + AWAY * waves[0] / min(DOORS)
    across, along = DOORS
    positions = np.stack(
        [
            across * reach * np.cos(angle),
            along * reach * np.sin(angle),
            EYES + 0.06 * waves[1],
        ],
        axis=1,
    )
    positions += 0.004 * rng.standard_normal(positions.shape)
    # Ahead, and to the outer walls, which pass by.
    ahead = np.arctan2(along * np.cos(angle), -across * np.sin(angle))
    gaze = (
        ahead - np.radians(40) + np.radians(20) * waves[2] + 0.006 * rng.standard_normal(len(angle))
    )
    level = -0.06 + 0.08 * waves[3]
    targets = positions + np.stack([np.cos(gaze), np.sin(gaze), level], axis=1)
    cameras = Cameras.looking_at(positions, targets, settings.field_of_view)
    still = np.zeros(len(angle))
    return cameras.turned(still, still, np.radians(2) * waves[4])


def _even_angles(settings: WalkSettings) -> Array:
    """Angles on the ellipse [N], a step apart."""
    angles = np.linspace(0, 2 * np.pi, CURVE)
    points = np.stack([DOORS[0] * np.cos(angles), DOORS[1] * np.sin(angles)], axis=1)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    passed = np.concatenate([[0.0], np.cumsum(lengths)])
    rounds, rest = np.divmod(settings.step * np.arange(settings.frames), passed[-1])
    return 2 * np.pi * rounds + np.interp(rest, passed, angles)


def _waves(rng: np.random.Generator, count: int) -> Iterator[tuple[float, float]]:
    """Rates, relative to the rounds, and phases."""
    for _ in range(count):
        yield float(rng.uniform(1.2, 3.6)), float(rng.uniform(-np.pi, np.pi))


def write_walk(folder: Path, settings: WalkSettings) -> None:
    """Render a walk into a folder. The same settings give the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([settings.seed, 1])
    scene = make_house(rng)
    cameras = walk_cameras(rng, settings)
    depth = np.zeros((settings.frames, settings.height, settings.width), np.float16)
    names = [f"{index:04d}.jpg" for index in range(settings.frames)]
    frames = render_frames(scene, cameras, settings.width, settings.height, rng)
    for index, (image, z) in enumerate(frames):
        Image.fromarray(image).save(folder / names[index], quality=JPEG_QUALITY)
        depth[index] = z
        if sys.stderr.isatty():
            print(f"\r{index + 1} of {settings.frames} frames", end="", file=sys.stderr)
    np.savez(folder / DEPTH, depth=depth)
    intrinsics = cameras.intrinsics(settings.width, settings.height)
    reference = {
        "size": [settings.width, settings.height],
        "focal": float(intrinsics[0, 0]),
        "world_to_camera": {
            name: extrinsics.tolist()
            for name, extrinsics in zip(names, cameras.extrinsics(), strict=True)
        },
    }
    # Written last: a folder with it is complete.
    (folder / REFERENCE).write_text(json.dumps(reference) + "\n")


def read_depth(folder: Path) -> NDArray[np.float16]:
    """Depth [N, H, W] of the frames of a walk, in its order."""
    with np.load(folder / DEPTH) as arrays:
        return arrays["depth"]


def main() -> None:
    """Run the command."""
    defaults = WalkSettings()
    parser = argparse.ArgumentParser(prog="python -m weights.scenes.walk", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=defaults.frames)
    parser.add_argument("--width", type=int, default=defaults.width)
    parser.add_argument("--height", type=int, default=defaults.height)
    parser.add_argument("--step", type=float, default=defaults.step, help="metres per frame")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    options = parser.parse_args()
    settings = WalkSettings(
        frames=options.frames,
        width=options.width,
        height=options.height,
        step=options.step,
        seed=options.seed,
    )
    write_walk(options.folder, settings)


if __name__ == "__main__":
    main()
