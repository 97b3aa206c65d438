"""One reconstruction in a process of its own, so that its time and memory are its own.

`python -m weights.evaluation.run ARCHIVE IMAGES OUTPUT` is that process.
"""

import argparse
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from weights.contract import load_archive, run_model
from weights.process_memory import peak, reset_peak, resident

ARRAYS = ("depth", "confidence", "extrinsics", "intrinsics", "distortion", "registered")
"""Fields of a `Reconstruction` that an `Outcome` has."""


class Outcome(NamedTuple):
    """The result for `N` frames and its cost, without loading the model."""

    depth: NDArray[np.float32]
    """[N, H, W]."""
    confidence: NDArray[np.float32]
    """[N, H, W]."""
    extrinsics: NDArray[np.float32]
    """[N, 3, 4]."""
    intrinsics: NDArray[np.float32]
    """[N, 3, 3]."""
    distortion: NDArray[np.float32]
    """[N, 2]."""
    registered: NDArray[np.bool_]
    """[N]."""
    seconds: float
    """CPU time of all threads; on a GPU, time."""
    memory: float
    """Peak memory in bytes: of the process or, on a GPU, of its tensors."""


def run_apart(
    archive: Path, images: NDArray[np.uint8], device: str = "cpu", threads: int = 1
) -> Outcome | None:
    """Reconstruct images [N, H, W, 3] in a new process; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "images.npy"), Path(folder, "outcome.npz")
        np.save(source, images)
        command = [sys.executable, "-W", "ignore", "-m", "weights.evaluation.run"]
        arguments = [str(archive.resolve()), str(source), str(target), "--device", device]
        child = subprocess.run(
            [*command, *arguments],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            cwd=Path(__file__).parents[2],
            check=False,
        )
        if child.returncode != 0:
            return None
        with np.load(target) as values:
            arrays = {name: values[name] for name in ARRAYS}
            seconds, memory = float(values["seconds"]), float(values["memory"])
        return Outcome(**arrays, seconds=seconds, memory=memory)


def measure(archive: Path, images: NDArray[np.uint8], device: str) -> Outcome:
    """Reconstruct images [N, H, W, 3] in this process."""
    module, metadata = load_archive(archive, device)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)
    side = 2 * metadata.patch_size
    run_model(module, metadata, pixels[:1, :, :side, :side])  # warm up: loads libraries and kernels
    gc.collect()
    if device == "cpu":
        before, start = resident(), _cpu_seconds()
        reset_peak()
        result = run_model(module, metadata, pixels)
        seconds, memory = _cpu_seconds() - start, peak() - before
    else:
        before, start = torch.cuda.memory_allocated(device), time.perf_counter()
        torch.cuda.reset_peak_memory_stats(device)
        result = run_model(module, metadata, pixels)
        torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
        memory = torch.cuda.max_memory_allocated(device) - before
    arrays = {name: getattr(result, name).cpu().numpy() for name in ARRAYS}
    return Outcome(**arrays, seconds=seconds, memory=float(memory))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.evaluation.run", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("images", type=Path, help="uint8 [N, H, W, 3], written by NumPy")
    parser.add_argument("output", type=Path)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    outcome = measure(options.archive, np.load(options.images), options.device)
    np.savez(options.output, **outcome._asdict())


if __name__ == "__main__":
    main()
