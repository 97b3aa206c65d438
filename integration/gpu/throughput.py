"""Frames per second and memory by size and number of frames; what happens when memory is out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .networks import CHUNK, Runner, archive, check, frames_of
from .plan import Plan

MEMORY_TOLERANCE = 1.5
"""How much more than the metadata say is accepted on CUDA, where they are extrapolated."""


def measure(plan: Plan, folder: Path, device: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows of throughput and memory, and checks."""
    rows: list[dict[str, Any]] = []
    checks = []
    for size in plan.sizes:
        runner = Runner(archive(folder, size, plan.precisions[0]), device)
        for count in plan.frames:
            pixels = frames_of(count, plan.height, plan.width, device)
            seconds = runner.seconds(pixels, plan.runs)
            row = {"size": size, "frames": count, "frames_per_second": count / seconds}
            rows.append({**row, **_memory(runner, plan, count, device)})
        checks.append(_fused(rows[-1], size))
        checks.append(_as_stated(rows[-1], size))
    checks.append(_out_of_memory(plan, folder, device))
    return rows, checks


def _memory(runner: Runner, plan: Plan, count: int, device: str) -> dict[str, float | None]:
    """Peak of a run in MB as measured and as the metadata say, and of a matrix of scores."""
    patches = plan.height * plan.width // runner.metadata.patch_size**2
    memory = runner.metadata.memory
    stated = memory.peak(count, patches, CHUNK) if memory else None
    width = memory.state // 8 if memory else 0  # bytes of a token
    numbers = {"fp32": 4}.get(runner.metadata.precision, 2)
    heads = width // numbers // 64
    scores = heads * (count * (patches + 1)) ** 2 * numbers
    peak = None
    if device.startswith("cuda"):
        pixels = frames_of(count, plan.height, plan.width, device)
        torch.cuda.reset_peak_memory_stats()
        runner.run(pixels)
        peak = torch.cuda.max_memory_allocated()
    return {
        "peak_mb": None if peak is None else peak / 1e6,
        "stated_mb": None if stated is None else stated / 1e6,
        "score_matrix_mb": scores / 1e6,
    }


def _fused(row: dict[str, Any], size: str) -> dict[str, Any]:
    """With the most frames, one matrix of scores alone would be larger than the peak."""
    name = f"attention of {size} is fused"
    if row["peak_mb"] is None:
        return check(name, None, "memory is measured on CUDA only")
    detail = f"{row['peak_mb']:.0f} MB at most, scores {row['score_matrix_mb']:.0f} MB"
    return check(name, row["peak_mb"] < row["score_matrix_mb"], detail)


def _as_stated(row: dict[str, Any], size: str) -> dict[str, Any]:
    name = f"{size} needs no more memory than its archive says"
    if row["peak_mb"] is None:
        return check(name, None, "memory is measured on CUDA only")
    detail = f"{row['peak_mb']:.0f} MB, stated {row['stated_mb']:.0f} MB"
    return check(name, row["peak_mb"] <= MEMORY_TOLERANCE * row["stated_mb"], detail)


def _out_of_memory(plan: Plan, folder: Path, device: str) -> dict[str, Any]:
    """A run that does not fit raises, and the next one that fits runs."""
    name = "a run survives that another was out of memory"
    if not device.startswith("cuda"):
        return check(name, None, "on CUDA only")
    runner = Runner(archive(folder, plan.sizes[0], plan.precisions[0]), device)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    limit = torch.cuda.memory_allocated() + (1 << 30)
    torch.cuda.set_per_process_memory_fraction(limit / total)
    try:
        runner.run(frames_of(plan.most_frames, 2 * plan.height, 2 * plan.width, device))
        return check(name, False, f"{plan.most_frames} frames fit into 1 GiB")
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if "out of memory" not in str(error):
            return check(name, False, str(error).strip().splitlines()[-1])
    finally:
        torch.cuda.empty_cache()
    try:
        runner.run(frames_of(1, plan.height, plan.width, device))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return check(name, True, f"{plan.most_frames} frames in 1 GiB, then one frame")
