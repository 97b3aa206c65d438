"""The model without the service."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from weights.contract import load_archive
from weights.contract.inference import run_model

from .service import ROOT, Photo


class BareModel:
    """An archive run by libtorch directly, with the service's sequence of calls."""

    def __init__(self, archive: Path) -> None:
        self.module, self.metadata = load_archive(archive)

    def run(self, photos: list[Photo], width: int, height: int) -> dict[str, float]:
        """Run once; return the seconds of each entry point."""
        frames = [
            np.asarray(Image.open(io.BytesIO(photo.data)).convert("RGB").resize((width, height)))
            for photo in photos
        ]
        pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
        seconds: dict[str, float] = {}
        last = time.perf_counter()

        def stage_ended(stage: str) -> None:
            nonlocal last
            now = time.perf_counter()
            seconds[stage] = now - last
            last = now

        run_model(self.module, self.metadata, pixels, progress=stage_ended)
        return seconds


def embedded() -> Path:
    """Path of the archive embedded in the server."""
    return ROOT / "weights/mvs/mvs.pt"
