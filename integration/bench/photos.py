"""Photos to measure with."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .service import ROOT, Photo


def photos_of(count: int, height: int, width: int) -> tuple[list[Photo], Tensor]:
    """The sample scene's photos as PNG files of that size, and as uint8 `[N, 3, H, W]`."""
    paths = sorted((ROOT / "examples/sample_scene").glob("*.jpg"))
    images = [Image.open(paths[i % len(paths)]).resize((width, height)) for i in range(count)]
    photos = []
    with tempfile.TemporaryDirectory() as folder:
        for i, image in enumerate(images):
            path = Path(folder) / f"{i:03}.png"
            image.save(path)
            photos.append(Photo(path.name, path.read_bytes()))
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return photos, pixels.permute(0, 3, 1, 2).contiguous()
