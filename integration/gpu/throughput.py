"""Frames per second and memory by size and number of frames; recovery from out of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from weights.da3.config import ANY_VIEW
from weights.measure_memory import stated
from weights.measure_precision import smooth_frames

from .networks import CHUNK, Runner, archive, check
from .plan import Plan


def measure(plan: Plan, folder: Path, device: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows of throughput and memory, and checks."""
    rows: list[dict[str, Any]] = []
    checks = []
    for size in plan.sizes:
        runner = Runner(archive(folder, size, plan.precisions[0]), device)
        for count in plan.frames:
            pixels = smooth_frames(count, plan.height, plan.width).to(device)
            seconds = runner.seconds(pixels, plan.runs)
            row = {"size": size, "frames": count, "frames_per_second": count / seconds}
            rows.append({**row, **_memory(runner, size, pixels, device)})
        checks.append(_fused(rows[-1], size))
        checks.append(_as_stated(rows[-1], size))
    checks.append(_out_of_memory(plan, folder, device))
    return rows, checks


def _memory(
    runner: Runner, size: str, pixels: torch.Tensor, device: str
) -> dict[str, float | None]:
    """In MB without the model: measured peak, need on CUDA stated in the metadata, and size of one
    matrix of attention scores over all frames."""
    count, _, height, width = pixels.shape
    tokens = count * (height * width // runner.metadata.patch_size**2 + 1)
    bytes_of_number = 4 if runner.metadata.precision == "fp32" else 2
    scores = ANY_VIEW[f"da3-{size}"].heads * tokens**2 * bytes_of_number
    expected = stated(runner.metadata.memory, f"{count}x{height}x{width}", "cuda", CHUNK)
    peak = None
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        runner.run(pixels)
        peak = torch.cuda.max_memory_allocated(device) - before
    return {
        "peak_mb": None if peak is None else peak / 1e6,
        "stated_mb": None if expected is None else expected / 1e6,
        "score_matrix_mb": scores / 1e6,
    }


def _fused(row: dict[str, Any], size: str) -> dict[str, Any]:
    """Check that the peak at the most frames is smaller than one matrix of attention scores."""
    name = f"attention of {size} is fused"
    if row["peak_mb"] is None:
        return check(name, None, "memory is measured on CUDA only")
    detail = f"{row['peak_mb']:.0f} MB at most, scores {row['score_matrix_mb']:.0f} MB"
    return check(name, row["peak_mb"] < row["score_matrix_mb"], detail)


def _as_stated(row: dict[str, Any], size: str) -> dict[str, Any]:
    name = f"{size} needs no more memory than its metadata state"
    if row["peak_mb"] is None:
        return check(name, None, "memory is measured on CUDA only")
    detail = f"{row['peak_mb']:.0f} MB, stated {row['stated_mb']:.0f} MB"
    return check(name, row["peak_mb"] <= row["stated_mb"], detail)


def _out_of_memory(plan: Plan, folder: Path, device: str) -> dict[str, Any]:
    """Check that a run out of memory raises, and that a smaller run works afterwards."""
    name = "a run succeeds after another ran out of memory"
    if not device.startswith("cuda"):
        return check(name, None, "on CUDA only")
    runner = Runner(archive(folder, plan.sizes[0], plan.precisions[0]), device)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    limit = torch.cuda.memory_allocated() + (1 << 30)
    torch.cuda.set_per_process_memory_fraction(limit / total)
    try:
        runner.run(smooth_frames(plan.most_frames, 2 * plan.height, 2 * plan.width).to(device))
        return check(name, False, f"{plan.most_frames} frames fit into 1 GiB")
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if "out of memory" not in str(error):
            return check(name, False, str(error).strip().splitlines()[-1])
    finally:
        torch.cuda.empty_cache()
    try:
        runner.run(smooth_frames(1, plan.height, plan.width).to(device))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return check(name, True, f"{plan.most_frames} frames in 1 GiB, then one frame")
