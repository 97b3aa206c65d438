"""The unit of length of an any-view reconstruction from monocular metric depth."""

import torch
from torch import Tensor

from weights.da3.far_sky import far_depth, thinned
from weights.da3.metric_network import FEWEST_PIXELS, is_sky

SMALLEST_DEPTH = 1e-3
"""Smaller any-view depths do not count."""
SMALLEST_METRIC_DEPTH = 1e-2
"""Smaller metric depths do not count, in metres."""
LARGEST_SKY_DEPTH = 200.0
"""In metres."""


def metric_scale(
    dense: Tensor,
    smallest_depth: float = SMALLEST_DEPTH,
    smallest_metric_depth: float = SMALLEST_METRIC_DEPTH,
    fewest_pixels: int = FEWEST_PIXELS,
) -> Tensor:
    """Metres `[]` in one unit of any-view depth, the least-squares solution.

    `dense` `[N, 4, H, W]` has any-view depth, its confidence, metric depth and sky. What counts is
    the more confident half of what is not sky. Where all is sky the unit stays as it is.
    """
    columns = thinned(dense.permute(0, 2, 3, 1).flatten(0, 2))
    columns = columns[~is_sky(columns[:, 3])]
    if columns.size(0) <= fewest_pixels:
        return torch.ones([], device=dense.device)
    depth, confidence, metric_depth = columns[:, 0], columns[:, 1], columns[:, 2]
    counts = (
        (confidence >= confidence.quantile(0.5))
        & (depth > smallest_depth)
        & (metric_depth > smallest_metric_depth)
    )
    depth, metric_depth = depth[counts], metric_depth[counts]
    scale = (depth * metric_depth).sum() / (depth * depth).sum()
    return scale if bool(scale.isfinite()) and bool(scale > 0) else torch.ones_like(scale)


def aligned(
    dense: Tensor,
    begin: int,
    end: int,
    largest_sky_depth: float = LARGEST_SKY_DEPTH,
    fewest_pixels: int = FEWEST_PIXELS,
) -> Tensor:
    """Depth in metres and confidence `[end - begin, 2, H, W]` of some frames of `dense`.

    Sky is far away, with confidence 1: it makes no points.
    """
    scale = metric_scale(dense)
    ground = ~is_sky(dense[:, 3])
    far = torch.full([], largest_sky_depth, device=dense.device)
    if int(ground.sum()) > fewest_pixels:
        far = (far_depth(dense[:, 0], ground) * scale).clamp(max=largest_sky_depth)
    ground = ground[begin:end]
    depth = torch.where(ground, dense[begin:end, 0] * scale, far)
    confidence = torch.where(ground, dense[begin:end, 1], 1.0)
    return torch.stack([depth, confidence], 1)
