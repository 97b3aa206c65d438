"""Archives with random weights, which compute as much as trained ones, and how they are run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weights.contract import load_archive

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 8
"""Frames that are encoded, or get their depth, at a time on a GPU."""


def archive(folder: Path, size: str, precision: str) -> Path:
    """The path of an archive, which is exported at the first call."""
    path = folder / f"{size}-{precision}.pt"
    if not path.exists():
        command = [sys.executable, "-W", "ignore", "-m", "weights.da3.export", "--random", size]
        command += ["--precision", precision, "-o", str(path)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return path


def frames_of(count: int, height: int, width: int, device: str) -> Tensor:
    """uint8 frames `[N, 3, H, W]` without sharp edges."""
    generator = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, 3, height // 14 + 1, width // 14 + 1, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth * 255).round().to(torch.uint8).to(device)


class Runner:
    """An archive on a device."""

    def __init__(self, path: Path, device: str) -> None:
        self.module, self.metadata = load_archive(path, device)
        self.device = device

    def run(
        self, pixels: Tensor, stage_ended: Callable[[str], None] = lambda stage: None
    ) -> tuple[Tensor, Tensor]:
        """Cameras and dense results of frames; `stage_ended` hears of each entry point."""
        count, _, height, width = pixels.shape
        size = torch.tensor([height, width], device=self.device)
        with torch.no_grad(), torch.jit.optimized_execution(False):
            features = torch.cat([self.module.encode(part) for part in pixels.split(CHUNK)])
            stage_ended("encode")
            state = self.module.relate(features, size)
            del features
            stage_ended("relate")
            cameras = self.module.cameras(state, size)
            dense = torch.cat(
                [
                    self.module.dense(state, size, torch.tensor([b, min(b + CHUNK, count)]))
                    for b in range(0, count, CHUNK)
                ]
            )
            stage_ended("dense")
        return cameras, dense

    def seconds(self, pixels: Tensor, runs: int) -> float:
        """The shortest of some runs, after one that loads what is loaded once."""
        self.run(pixels)
        found = []
        for _ in range(runs):
            synchronize(self.device)
            begin = time.perf_counter()
            self.run(pixels)
            synchronize(self.device)
            found.append(time.perf_counter() - begin)
        return min(found)


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def check(name: str, passed: bool | None, detail: str) -> dict[str, Any]:
    """A row of the results; `None` means that it was not run."""
    return {"check": name, "passed": passed, "detail": detail}
