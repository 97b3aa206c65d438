"""Renderings as files: photos, depth and cameras."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from weights.scenes.render import Rendering

FORMATS = ("png", "jpg")
JPEG_QUALITY = 92


def write_rendering(rendering: Rendering, folder: Path, image_format: str = "png") -> None:
    """Write `000.png` and so on, `depth.npz` and `cameras.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:03d}.{image_format}" for index in range(len(rendering.images))]
    for name, image in zip(names, rendering.images, strict=True):
        Image.fromarray(image).save(folder / name, quality=JPEG_QUALITY)
    np.savez_compressed(folder / "depth.npz", depth=rendering.depth.astype(np.float16))
    height, width = rendering.images.shape[1:3]
    cameras = {
        "width": width,
        "height": height,
        "intrinsics": rendering.intrinsics.tolist(),
        "frames": [
            {"file": name, "extrinsics": extrinsics.tolist()}
            for name, extrinsics in zip(names, rendering.extrinsics, strict=True)
        ],
    }
    (folder / "cameras.json").write_text(json.dumps(cameras, indent=1) + "\n")


def read_rendering(folder: Path) -> Rendering:
    """Read what `write_rendering` wrote."""
    cameras = json.loads((folder / "cameras.json").read_text())
    frames = cameras["frames"]
    with np.load(folder / "depth.npz") as arrays:
        depth = arrays["depth"].astype(np.float32)
    return Rendering(
        images=np.stack(
            [np.asarray(Image.open(folder / frame["file"]).convert("RGB")) for frame in frames]
        ),
        depth=depth,
        extrinsics=np.array([frame["extrinsics"] for frame in frames], np.float32),
        intrinsics=np.array(cameras["intrinsics"], np.float32),
    )
