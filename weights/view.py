"""Reconstruct photos and render the result: `python -m weights.view PHOTO... -o view.png`.

The image shows the point cloud from the middle photo's camera and from both sides.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from weights.contract import Reconstruction, load_archive, run_model
from weights.metrics import CONFIDENT
from weights.mvs.build import DEFAULT_PATH

BACKGROUND = 255
PERCENTILES = (40, 90)
"""Pixels below the first percentile of confidence are dropped, those above the second are kept."""


def read_photos(paths: Sequence[Path], process_res: int, patch_size: int) -> NDArray[np.uint8]:
    """Read photos [N, H, W, 3]: longest side `process_res`, cropped to the smallest common size."""
    photos = []
    for path in paths:
        photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        scale = process_res / max(photo.size)
        width, height = (
            max(round(side * scale / patch_size), 1) * patch_size for side in photo.size
        )
        photos.append(photo.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3))
    width = min(photo.width for photo in photos)
    height = min(photo.height for photo in photos)
    return np.stack([np.asarray(ImageOps.fit(photo, (width, height))) for photo in photos])


def point_cloud(
    result: Reconstruction, images: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Confident pixels as points [P, 3] in the world and their colours [P, 3]."""
    confidence = result.confidence.numpy()
    low, high = np.percentile(confidence, PERCENTILES)
    kept = confidence >= max(CONFIDENT, min(low, high))
    kept &= confidence > 1
    height, width = confidence.shape[1:]
    v, u = np.mgrid[:height, :width].astype(np.float64)
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1)
    points = []
    for depth, extrinsics, intrinsics, distortion, chosen in zip(
        result.depth.numpy(),
        result.extrinsics.double().numpy(),
        result.intrinsics.double().numpy(),
        result.distortion.double().numpy(),
        kept,
        strict=True,
    ):
        rays = undistort(pixels[chosen] @ np.linalg.inv(intrinsics).T, distortion)
        points.append((rays * depth[chosen][:, None] - extrinsics[:, 3]) @ extrinsics[:, :3])
    return np.concatenate(points), images[kept]


def undistort(rays: NDArray[np.float64], distortion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert the radial distortion of points [P, 3] at depth 1, by fixed-point iteration."""
    k1, k2 = distortion
    seen = rays[:, :2]
    found = seen
    for _ in range(30):
        squared = (found**2).sum(1, keepdims=True)
        found = seen / (1 + squared * (k1 + squared * k2))
    return np.concatenate([found, rays[:, 2:]], axis=1)


def splat(
    points: NDArray[np.float64],
    colours: NDArray[np.uint8],
    extrinsics: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    width: int,
    height: int,
    size: int = 2,
) -> NDArray[np.uint8]:
    """Draw points as squares of `size` pixels, near ones over far ones: uint8 [H, W, 3]."""
    moved = points @ extrinsics[:, :3].T + extrinsics[:, 3]
    order = np.argsort(-moved[:, 2], kind="stable")
    order = order[moved[order, 2] > 1e-6]
    projected = moved[order] @ intrinsics.T
    corner = np.floor(projected[:, :2] / projected[:, 2:] + 0.5).astype(np.int64)
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    nearest = np.full((height, width), np.inf)
    for down in range(size):
        for right in range(size):
            column, row = corner[:, 0] + right, corner[:, 1] + down
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            column, row = column[inside], row[inside]
            depth, colour = moved[order[inside], 2], colours[order[inside]]
            # Points are sorted from far to near, so the nearest one is written last.
            layer = np.full((height, width), np.inf)
            layer[row, column] = depth
            painted = np.zeros_like(image)
            painted[row, column] = colour
            closer = layer < nearest
            nearest[closer], image[closer] = layer[closer], painted[closer]
    return image


def around(
    extrinsics: NDArray[np.float64], centre: NDArray[np.float64], yaw: float, pitch: float
) -> NDArray[np.float64]:
    """Rotate a camera [3, 4] around a point of the world, by angles in degrees."""
    a, b = np.radians(yaw), np.radians(pitch)
    turn_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn = turn_x @ turn_y
    seen = extrinsics[:, :3] @ centre + extrinsics[:, 3]
    rotation = turn @ extrinsics[:, :3]
    return np.concatenate([rotation, (seen - rotation @ centre)[:, None]], axis=1)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.view", description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--archive", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--process-res", type=int, help="longest side in pixels")
    parser.add_argument("--yaw", type=float, default=20.0, help="degrees to either side")
    parser.add_argument("--pitch", type=float, default=-10.0, help="degrees; negative looks down")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    module, metadata = load_archive(options.archive, options.device)
    process_res = options.process_res or metadata.default_process_res
    images = read_photos(options.photos, process_res, metadata.patch_size)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(options.device)
    result = run_model(module, metadata, pixels)
    result = Reconstruction(*(value.cpu() for value in result))
    points, colours = point_cloud(result, images)
    print(f"{int(result.registered.sum())} of {len(images)} photos, {len(points)} points")
    middle = len(images) // 2
    extrinsics = result.extrinsics[middle].double().numpy()
    intrinsics = result.intrinsics[middle].double().numpy()
    centre = np.median(points, axis=0) if len(points) else np.zeros(3)
    height, width = images.shape[1:3]
    views = [
        splat(points, colours, around(extrinsics, centre, yaw, pitch), intrinsics, width, height)
        for yaw, pitch in (
            (0.0, 0.0),
            (-options.yaw, options.pitch),
            (options.yaw, options.pitch),
        )
    ]
    Image.fromarray(np.concatenate(views, axis=1)).save(options.output)


if __name__ == "__main__":
    main()
