"""A depth for sky pixels: about that of the farthest other pixels.

Excluded pixels are set to NaN instead of being cut out, because the size of a masked selection
would force a synchronisation with the GPU.
"""

import torch
from torch import Tensor

from weights.da3.metric_network import FEWEST_PIXELS

FAR_QUANTILE = 0.99
LARGEST_SAMPLE = 1 << 20
"""Number of pixels above which statistics use every k-th pixel."""


def far_depth(depth: Tensor, ground: Tensor, quantile: float = FAR_QUANTILE) -> Tensor:
    """Depth `[n]` for the sky, from depths `[n, P]` and the mask `ground` of other pixels."""
    return torch.nanquantile(torch.where(ground, depth, torch.nan), quantile, 1)


def with_far_sky(depth: Tensor, sky: Tensor, fewest_pixels: int = FEWEST_PIXELS) -> Tensor:
    """Depth `[n, H, W]` with `sky` pixels set to each frame's depth for the sky."""
    sample = thinned(torch.stack([depth, sky.to(depth.dtype)], 1))
    far = far_depth(sample[:, 0], sample[:, 1] == 0)
    pixels = sky.flatten(1).sum(1)
    is_known = (pixels > fewest_pixels) & (sky.size(1) * sky.size(2) - pixels > fewest_pixels)
    return torch.where(sky & is_known[:, None, None], far[:, None, None], depth)


def thinned(maps: Tensor, frames: int = 1, largest_sample: int = LARGEST_SAMPLE) -> Tensor:
    """Maps `[n, C, H, W]` -> `[n, C, P]`: every k-th pixel if `frames` maps have too many."""
    pixels = frames * maps.size(2) * maps.size(3)
    step = (pixels + largest_sample - 1) // largest_sample
    return maps.flatten(2)[:, :, :: max(step, 1)]
