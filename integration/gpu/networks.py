"""Archives with random weights, which cost as much as trained ones, and a runner for them."""

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
"""Default number of frames per call of `encode` and `dense`."""


def archive(folder: Path, size: str, precision: str, heads: str = "fp32") -> Path:
    """The path of an archive; the first call exports it."""
    path = folder / f"{size}-{precision}-{heads}.pt"
    if not path.exists():
        command = [sys.executable, "-W", "ignore", "-m", "weights.da3.export", "--random", size]
        command += ["--precision", precision, "--heads", heads, "-o", str(path)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return path


class Runner:
    """An archive on a device."""

    def __init__(self, path: Path, device: str) -> None:
        self.module, self.metadata = load_archive(path, device)
        self.device = device

    def run(self, pixels: Tensor, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
        """Cameras and dense maps of frames, with `chunk` frames per call."""
        count, _, height, width = pixels.shape
        size = torch.tensor([height, width])
        with torch.no_grad(), torch.jit.optimized_execution(False):
            features = torch.cat([self.module.encode(part) for part in pixels.split(chunk)])
            state = self.module.relate(features, size)
            del features
            cameras = self.module.cameras(state, size)
            dense = torch.cat(
                [
                    self.module.dense(state, size, torch.tensor([b, min(b + chunk, count)]))
                    for b in range(0, count, chunk)
                ]
            )
        return cameras, dense

    def seconds(self, pixels: Tensor, runs: int, chunk: int = CHUNK) -> float:
        """Seconds of the shortest of `runs` runs."""
        return shortest(lambda: self.run(pixels, chunk), runs, self.device)


def shortest(run: Callable[[], object], runs: int, device: str) -> float:
    """Seconds of the shortest of `runs` runs, after a warm-up."""
    run()
    found = []
    for _ in range(runs):
        synchronize(device)
        begin = time.perf_counter()
        run()
        synchronize(device)
        found.append(time.perf_counter() - begin)
    return min(found)


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def check(name: str, passed: bool | None, detail: str) -> dict[str, Any]:
    """A row of the results; `passed` is None for a skipped check."""
    return {"check": name, "passed": passed, "detail": detail}
