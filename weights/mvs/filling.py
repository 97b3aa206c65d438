"""Smooth filling of holes (push-pull, Gortler et al., The Lumigraph, SIGGRAPH 1996)."""

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.box import halve


def fill(values: Tensor, weights: Tensor, fallback: float) -> Tensor:
    """Keep `values` [H, W] where `weights` (0..1) are 1 and interpolate the surroundings elsewhere;
    `fallback` everywhere if all weights are 0."""
    sums: list[Tensor] = [(values * weights)[None]]
    totals: list[Tensor] = [weights[None]]
    while max(sums[-1].size(1), sums[-1].size(2)) > 1:
        sums.append(halve(sums[-1]))
        totals.append(halve(totals[-1]))
    filled = torch.full_like(sums[-1], fallback)
    for back in range(len(sums)):
        level = len(sums) - 1 - back
        if back > 0:
            size = [sums[level].size(1), sums[level].size(2)]
            filled = functional.interpolate(
                filled[None], size=size, mode="bilinear", align_corners=False
            )[0]
        known = totals[level]
        share = (known * 4.0).clamp(max=1.0) if level > 0 else known
        mean = sums[level] / known.clamp(min=1e-9)
        filled = torch.where(known > 1e-6, share * mean + (1.0 - share) * filled, filled)
    return filled[0]
