"""Depth of the sky, which has none: about that of the farthest things that have one."""

import torch
from torch import Tensor

from weights.da3.metric_network import FEWEST_PIXELS

FAR_QUANTILE = 0.99
LARGEST_SAMPLE = 1 << 20
"""Statistics over more values are of every k-th one."""


def far_depth(depth: Tensor, ground: Tensor, quantile: float = FAR_QUANTILE) -> Tensor:
    """The depth `[]` that sky gets, of depths and the mask of pixels that are not sky."""
    return torch.quantile(thinned(depth[ground]), quantile)


def with_far_sky(depth: Tensor, sky: Tensor, fewest_pixels: int = FEWEST_PIXELS) -> Tensor:
    """One frame's depth `[H, W]` with the mask `sky` set to the depth of far things."""
    count = int(sky.sum())
    if min(count, sky.numel() - count) <= fewest_pixels:
        return depth
    return torch.where(sky, far_depth(depth, ~sky), depth)


def thinned(values: Tensor, largest_sample: int = LARGEST_SAMPLE) -> Tensor:
    """Values `[n]`, or every k-th one if there are too many."""
    step = (values.size(0) + largest_sample - 1) // largest_sample
    return values[:: max(step, 1)]
