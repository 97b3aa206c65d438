"""Foreground fattening: a window that overlaps the edge of a near surface correlates best at that
surface's depth, so an untextured surface behind it appears at the same depth (Kanade and Okutomi,
PAMI 1994)."""

import torch
from torch import Tensor

from weights.mvs.box import box_mean, shifted
from weights.mvs.depth import level_count

BLANK: float = 0.05
"""Variance of grey values at a pixel relative to its surroundings, below which the depth of the
pixel comes from the surroundings."""
SURROUNDINGS: int = 5
"""Half the side of the surroundings in pixels of the coarsest level; as that of its windows."""
BEND: float = 0.03
"""Relative second difference of the inverse depth above which a surface ends."""
SAME_SURFACE: float = 0.01
"""Largest relative change of the inverse depth between neighbouring pixels of a surface."""
REACH: int = 7
"""Range of fattening from the apparent end of the surface, in pixels of the coarsest level."""


def coarse_pixel(height: int, width: int) -> int:
    """Side of a pixel of the coarsest search level in pixels."""
    return 1 << (level_count(height, width) - 1)


def blank_beside(grey: Tensor, blank: float = BLANK, surroundings: int = SURROUNDINGS) -> Tensor:
    """Bool [H, W], where `grey` has much less texture than its surroundings."""
    unit = coarse_pixel(grey.size(0), grey.size(1))
    both = torch.stack([grey, grey * grey])
    near = box_mean(both, max(1, unit // 2))
    far = box_mean(both, surroundings * unit)
    return near[1] - near[0] * near[0] < blank * (far[1] - far[0] * far[0])


def surface_ends(inverse_depth: Tensor, bend: float = BEND) -> Tensor:
    """Bool [H, W], where the inverse depth, which is linear on a plane, has a sharp bend."""
    step = coarse_pixel(inverse_depth.size(0), inverse_depth.size(1))
    twice = 2.0 * inverse_depth
    down = shifted(inverse_depth, step, 0) + shifted(inverse_depth, -step, 0) - twice
    across = shifted(inverse_depth, 0, step) + shifted(inverse_depth, 0, -step) - twice
    return torch.maximum(down.abs_(), across.abs_()) > bend * inverse_depth


def spread(
    marked: Tensor,
    within: Tensor,
    inverse_depth: Tensor,
    steps: int,
    same_surface: float = SAME_SURFACE,
) -> Tensor:
    """Dilate `marked` [H, W] by about `steps` pixels along the same surface, restricted to `within`
    [H, W] (both bool)."""
    result = marked.clone()
    last = [inverse_depth.size(0) - 1, inverse_depth.size(1) - 1]
    links: list[Tensor] = []
    for dim in range(2):
        here = inverse_depth.narrow(dim, 0, last[dim])
        there = inverse_depth.narrow(dim, 1, last[dim])
        links.append((here - there).abs_() < same_surface * here)
    for _step in range(steps):
        before = result.clone()
        for dim in range(2):
            first = before.narrow(dim, 0, last[dim])
            second = before.narrow(dim, 1, last[dim])
            result.narrow(dim, 1, last[dim]).logical_or_(first & links[dim])
            result.narrow(dim, 0, last[dim]).logical_or_(second & links[dim])
        result = (result & within).logical_or_(before)
    return result


def fattened(inverse_depth: Tensor, grey: Tensor, reach: int = REACH) -> Tensor:
    """Bool [H, W], pixels between the apparent end of a surface and the texture from which its
    depth comes: they may show the surface behind."""
    blank = blank_beside(grey)
    unit = coarse_pixel(grey.size(0), grey.size(1))
    return spread(surface_ends(inverse_depth) & blank, blank, inverse_depth, reach * unit)
