"""A folder of photos with reference poses by COLMAP, in its file `colmap.json`.

Coordinates of pixels are those of the reference: in photos of its size, with (0, 0) at the corner
of the top left pixel, as in COLMAP.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Array = NDArray[np.float64]

REFERENCE = "colmap.json"
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
LARGEST_DIFFERENCE = 0.01
"""Largest relative difference between the aspect ratios of a photo and of the reference."""
NEWTON_STEPS = 10


@dataclass(frozen=True)
class Photos:
    """`N` photos of one camera with the reference poses, if known."""

    name: str
    paths: list[Path]
    size: tuple[int, int]
    """Width and height to which focal length and pixel coordinates refer."""
    focal: float
    """Focal length in pixels; NaN without a reference."""
    k1: float
    """Radial distortion as in COLMAP's SIMPLE_RADIAL, the principal point in the middle."""
    extrinsics: Array
    """[N, 3, 4], world to camera; NaN where unknown."""

    @property
    def referenced(self) -> NDArray[np.bool_]:
        """Bool [N]: whether the pose is known."""
        return np.isfinite(self.extrinsics.reshape(-1, 12).sum(axis=1))

    def centres(self) -> Array:
        """[N, 3]: the optical centres in the reference's world."""
        return centres(self.extrinsics)

    def rays(self, pixels: Array) -> Array:
        """Undistort pixels [..., 2] to x and y in the plane z = 1."""
        distorted = (pixels - np.array(self.size) / 2) / self.focal
        radius = np.linalg.norm(distorted, axis=-1)
        straight = radius.copy()
        for _ in range(NEWTON_STEPS):
            slope = 1 + 3 * self.k1 * straight**2
            straight -= (straight * (1 + self.k1 * straight**2) - radius) / np.maximum(slope, 0.1)
        return distorted * (straight / np.maximum(radius, 1e-12))[..., None]

    def pinhole_focal(self, pixels: Array) -> float:
        """The focal length of the pinhole camera that fits best at pixels [P, 2].

        A model without distortion cannot have the focal length of a camera that has it.
        """
        rays = self.rays(pixels)
        return float(((pixels - np.array(self.size) / 2) * rays).sum() / (rays * rays).sum())


def centres(extrinsics: Array) -> Array:
    """Optical centres [N, 3] of world-to-camera extrinsics [N, 3, 4]."""
    return -np.einsum("nji,nj->ni", extrinsics[:, :, :3], extrinsics[:, :, 3])


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Upright RGB pixels [H, W, 3]."""
    with Image.open(path) as photo:
        return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))


def read_folder(folder: Path, max_frames: int) -> Photos:
    """Read a folder; of more than `max_frames` photos every second, third, ... counts.

    Without `colmap.json` all poses are unknown.
    """
    if not folder.is_dir():
        raise SystemExit(f"{folder} is not a folder")
    paths = [path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS]
    paths.sort(key=lambda path: _natural(path.name))
    if not paths:
        raise SystemExit(f"{folder} has no photos ({', '.join(EXTENSIONS)})")
    paths = paths[:: -(-len(paths) // max(max_frames, 1))]
    sizes = {path: _size(path) for path in paths}
    extrinsics = np.full((len(paths), 3, 4), np.nan)
    if not (folder / REFERENCE).exists():
        return Photos(folder.name, paths, sizes[paths[0]], float("nan"), 0.0, extrinsics)
    try:
        reference = json.loads((folder / REFERENCE).read_text())
        width, height = (int(side) for side in reference["size"])
        focal, k1 = float(reference["focal"]), float(reference.get("k1", 0.0))
        poses = reference["world_to_camera"]
        for index, path in enumerate(paths):
            if path.name in poses:
                extrinsics[index] = np.array(poses[path.name], np.float64).reshape(3, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise SystemExit(
            f"{folder / REFERENCE} has another form than expected: {error!r}"
        ) from None
    for path, size in sizes.items():
        if abs(size[0] * height / (size[1] * width) - 1) > LARGEST_DIFFERENCE:
            raise SystemExit(
                f"{path} has another aspect ratio than {width}x{height} in {REFERENCE}"
            )
    return Photos(folder.resolve().name, paths, (width, height), focal, k1, extrinsics)


def _size(path: Path) -> tuple[int, int]:
    """Width and height of the upright photo."""
    with Image.open(path) as photo:
        turned = photo.getexif().get(0x0112, 1) >= 5
        return (photo.height, photo.width) if turned else (photo.width, photo.height)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts 10.jpg after 9.jpg."""
    parts = re.split(r"(\d+)", name)
    return [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part
    ]
