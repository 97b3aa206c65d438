"""Measure the memory that a model needs and compare it with the archive's metadata.

On the CPU this is the peak resident memory of a fresh process (Linux), on CUDA the peak of
PyTorch's allocator; both without the loaded model. Each call has one frame. The work is chosen so
that a model needs much for it (`weights/memory_work.py`).
"""

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from weights.contract import load_archive, read_metadata
from weights.contract.metadata import Memory
from weights.memory_work import adjust, extend, layered_frames, predict, walk
from weights.process_memory import peak, reset_peak, resident

DEFAULT_CASES = ("1x280x504", "4x280x504", "8x140x252")
WORK = ("predict", "extend", "adjust")
"""What is measured: whole predictions, half of the frames placed among the others, or a joint
adjustment, whose cases are FRAMESxFEATURESxREACH: features of a frame, frames that see one."""


def measure(archive: Path, case: str, device: str, work: str = "predict") -> int:
    """Peak memory of one run in this process, in bytes."""
    module, metadata = load_archive(archive, device)
    if metadata.watch:
        # As the service runs it.
        module.watch(torch.zeros(1, dtype=torch.uint8))
    side = 2 * metadata.patch_size
    # Loads libraries and kernels.
    predict(module, metadata, layered_frames(1, side, side).to(device))
    run: Callable[[], None]
    if work == "adjust":
        given = walk(*numbers(case))
        given = given._replace(
            links=given.links.to(device),
            cameras=given.cameras.to(device),
            hints=given.hints.to(device),
        )

        def run() -> None:
            adjust(module, given)
    else:
        pixels = layered_frames(*numbers(case)).to(device)

        def run() -> None:
            (predict if work == "predict" else extend)(module, metadata, pixels)

    gc.collect()
    if device == "cpu":
        before = resident()
        reset_peak()
        run()
        return peak() - before
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def measure_apart(archive: Path, case: str, device: str = "cpu", work: str = "predict") -> int:
    """Run `measure` in its own process, whose allocator returns freed memory at once."""
    command = [sys.executable, "-W", "ignore", "-m", "weights.measure_memory"]
    run = subprocess.run(
        [*command, str(archive), case, "--device", device, "--work", work, "--here"],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(run.stdout)


def stated(
    memory: Memory | None, case: str, device: str = "cpu", frames_per_call: int = 1
) -> float | None:
    """The need of a prediction in bytes according to an archive's metadata, if stated."""
    need = memory and (memory.cpu if device == "cpu" else memory.cuda)
    if need is None:
        return None
    frames, height, width = numbers(case)
    pixels = height * width
    return (
        need.fixed
        + need.per_frame * frames
        + need.per_pixel * frames * pixels
        + need.per_call_pixel * min(frames, frames_per_call) * pixels
        + need.per_pair * frames**2
    )


def stated_for_adjustment(memory: Memory | None, case: str, device: str = "cpu") -> float | None:
    """The need of an adjustment in bytes according to an archive's metadata, if stated."""
    need = memory and (memory.cpu if device == "cpu" else memory.cuda)
    if need is None or need.adjust is None:
        return None
    given = walk(*numbers(case))
    return (
        need.adjust.fixed
        + need.adjust.per_link * given.links.size(0)
        + need.adjust.per_lens * given.links.size(0) * given.lenses
        + need.adjust.per_shared * given.shared
        + need.adjust.per_pair * given.cameras.size(0) ** 2
    )


def numbers(case: str) -> tuple[int, int, int]:
    """Parse `FRAMESxHEIGHTxWIDTH`."""
    frames, height, width = (int(number) for number in case.split("x"))
    return frames, height, width


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.measure_memory", description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("cases", nargs="*", default=DEFAULT_CASES, metavar="CASE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", choices=WORK, default="predict")
    parser.add_argument(
        "--here", action="store_true", help="measure one case in this process and print bytes"
    )
    options = parser.parse_args()
    if options.here:
        print(measure(options.archive, options.cases[0], options.device, options.work))
        return
    metadata = read_metadata(options.archive)
    print(f"{metadata.name}, {metadata.precision}, {options.device}, MB without the loaded model")
    print(f"{'case':16} {'measured':>9} {'metadata':>9}")
    for case in options.cases:
        found = measure_apart(options.archive, case, options.device, options.work)
        state = stated_for_adjustment if options.work == "adjust" else stated
        expected = state(metadata.memory, case, options.device)
        words = "-" if expected is None else f"{expected / 1e6:.1f}"
        print(f"{case:16} {found / 1e6:9.1f} {words:>9}")


if __name__ == "__main__":
    main()
