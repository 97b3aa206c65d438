"""Error of half precision relative to single precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weights.measure_precision import errors, smooth_frames

from .networks import Runner, archive, check
from .plan import ONE_PRECISION, Plan

LARGEST_MEDIAN_ERROR = 0.02
"""Limit of the median relative depth error; random weights amplify rounding."""


def measure(plan: Plan, folder: Path, device: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows of errors and checks: backbones in half precision, and heads as well."""
    rows: list[dict[str, Any]] = []
    checks = []
    frames = plan.frames[min(1, len(plan.frames) - 1)]
    pixels = smooth_frames(frames, plan.height, plan.width).to(device)
    for size in plan.sizes:
        expected = Runner(archive(folder, size, "fp32"), device).run(pixels)
        for precision, heads in combinations(plan, size):
            found = Runner(archive(folder, size, precision, heads), device).run(pixels)
            error = errors(found, expected)
            rows.append({"size": size, "backbone": precision, "heads": heads, **error})
            name = f"{size} with a backbone in {precision} and heads in {heads} is near fp32"
            median = error["depth_median"]
            passed = median <= LARGEST_MEDIAN_ERROR
            checks.append(check(name, passed, f"median depth error {median:.1e}"))
    return rows, checks


def combinations(plan: Plan, size: str) -> list[tuple[str, str]]:
    """Precisions of backbone and heads: the first precision with both kinds of heads."""
    first = plan.precisions[0]
    if size in ONE_PRECISION:
        return [(first, "fp32")]
    with_single = [(precision, "fp32") for precision in plan.precisions]
    return list(dict.fromkeys([*with_single, (first, first)]))
