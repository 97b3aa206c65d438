"""How far half precision is from single precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .networks import Runner, archive, check, frames_of
from .plan import Plan

LARGEST_MEDIAN_ERROR = 0.05
"""Relative, of depth, with random weights, which amplify rounding more than trained ones."""


def errors(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Relative errors of depth and confidence, and the angle between rotations in degrees."""
    depth = (found[1][:, 0] / expected[1][:, 0] - 1).abs().flatten()
    confidence = (found[1][:, 1] / expected[1][:, 1] - 1).abs().flatten()
    rotations = [
        rows[:, :12].reshape(-1, 3, 4)[:, :, :3].double() for rows in (found[0], expected[0])
    ]
    cosines = ((rotations[0] * rotations[1]).sum((1, 2)) - 1) / 2
    angles = torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))
    return {
        "depth_median": float(depth.median()),
        "depth_p99": float(depth.sort().values[int(0.99 * (len(depth) - 1))]),
        "confidence_median": float(confidence.median()),
        "rotation_degrees": float(angles.max()),
    }


def measure(plan: Plan, folder: Path, device: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows of errors and checks: backbones in half precision, and heads as well."""
    rows: list[dict[str, Any]] = []
    checks = []
    for size in plan.sizes:
        pixels = frames_of(
            plan.frames[min(1, len(plan.frames) - 1)], plan.height, plan.width, device
        )
        expected = Runner(archive(folder, size, "fp32"), device).run(pixels)
        for precision in plan.precisions:
            runner = Runner(archive(folder, size, precision), device)
            found = {"fp32": runner.run(pixels)}
            if device.startswith("cuda") and precision != "fp32":
                dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
                with torch.autocast("cuda", dtype=dtype):
                    found[precision] = runner.run(pixels)
            for heads, result in found.items():
                result = tuple(part.float() for part in result)
                rows.append(
                    {
                        "size": size,
                        "backbone": precision,
                        "heads": heads,
                        **errors(result, expected),
                    }
                )
            error = rows[-len(found)]["depth_median"]
            name = f"{size} with a backbone in {precision} is near fp32"
            checks.append(
                check(name, error <= LARGEST_MEDIAN_ERROR, f"median depth error {error:.1e}")
            )
    return rows, checks
