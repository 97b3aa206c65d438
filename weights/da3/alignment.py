"""Metric scale of an any-view reconstruction from monocular metric depth.

Excluded pixels get weight 0 instead of being cut out, because the size of a masked selection would
force a synchronisation with the GPU.
"""

import torch
from torch import Tensor

from weights.da3.far_sky import far_depth, thinned
from weights.da3.metric_network import FEWEST_PIXELS, is_sky

SMALLEST_DEPTH = 1e-3
"""Smaller any-view depths are ignored."""
SMALLEST_METRIC_DEPTH = 1e-2
"""Smaller metric depths are ignored, in metres."""
LARGEST_SKY_DEPTH = 200.0
"""Upper bound of the depth assigned to sky, in metres."""


def metric_scale(
    dense: Tensor,
    smallest_depth: float = SMALLEST_DEPTH,
    smallest_metric_depth: float = SMALLEST_METRIC_DEPTH,
    fewest_pixels: int = FEWEST_PIXELS,
) -> Tensor:
    """Metres `[]` per unit of any-view depth, by least squares.

    `dense` `[N, 4, H, W]` has any-view depth, its confidence, metric depth and sky. Uses the more
    confident half of the pixels that are not sky. If all pixels are sky, the scale is 1.
    """
    sample = thinned(dense, dense.size(0)).transpose(0, 1).flatten(1)
    depth, confidence, metric_depth = sample[0], sample[1], sample[2]
    ground = ~is_sky(sample[3])
    median = torch.nanquantile(torch.where(ground, confidence, torch.nan), 0.5)
    counts = (
        ground
        & (confidence >= median)
        & (depth > smallest_depth)
        & (metric_depth > smallest_metric_depth)
    ).to(depth.dtype)
    scale = (counts * depth * metric_depth).sum() / (counts * depth * depth).sum()
    is_known = (ground.sum() > fewest_pixels) & scale.isfinite() & (scale > 0)
    return torch.where(is_known, scale, torch.ones_like(scale))


def aligned(
    dense: Tensor,
    begin: int,
    end: int,
    largest_sky_depth: float = LARGEST_SKY_DEPTH,
    fewest_pixels: int = FEWEST_PIXELS,
) -> Tensor:
    """Depth in metres and confidence `[end - begin, 2, H, W]` of some frames of `dense`.

    Sky gets a large depth and confidence 1, so it adds no points.
    """
    scale = metric_scale(dense)
    sample = thinned(dense, dense.size(0)).transpose(0, 1).flatten(1)
    ground = ~is_sky(sample[3])
    far = (far_depth(sample[:1], ground[None])[0] * scale).clamp(max=largest_sky_depth)
    far = torch.where(ground.sum() > fewest_pixels, far, largest_sky_depth)
    sky = is_sky(dense[begin:end, 3])
    depth = torch.where(sky, far, dense[begin:end, 0] * scale)
    confidence = torch.where(sky, 1.0, dense[begin:end, 1])
    return torch.stack([depth, confidence], 1)
