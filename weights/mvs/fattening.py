"""Foreground fattening: a window that reaches over the edge of a near surface correlates best at
that surface's depth, so a surface without texture behind it seems to be as near (Kanade and
Okutomi, PAMI 1994)."""

import torch
from torch import Tensor

from weights.mvs.box import box_mean, shifted
from weights.mvs.depth import level_count

BLANK: float = 0.05
"""Variance of grey values around a pixel relative to that in the surroundings, below which the
pixel owes its depth to the surroundings."""
SURROUNDINGS: int = 5
"""Half the side of the surroundings, in pixels of the coarsest level: that of its windows."""
BEND: float = 0.03
"""Relative second difference of the inverse depth at which a surface ends."""
SAME_SURFACE: float = 0.01
"""Relative change of the inverse depth from pixel to pixel within a surface."""
REACH: int = 7
"""Pixels of the coarsest level that fattening reaches from where the surface seems to end."""


def coarse_pixel(height: int, width: int) -> int:
    """Pixels that a pixel of the coarsest level of the search covers along a side."""
    return 1 << (level_count(height, width) - 1)


def blank_beside(grey: Tensor, blank: float = BLANK, surroundings: int = SURROUNDINGS) -> Tensor:
    """Bool [H, W], where `grey` has much less texture than close by."""
    unit = coarse_pixel(grey.size(0), grey.size(1))
    both = torch.stack([grey, grey * grey])
    near = box_mean(both, max(1, unit // 2))
    far = box_mean(both, surroundings * unit)
    return near[1] - near[0] * near[0] < blank * (far[1] - far[0] * far[0])


def surface_ends(inverse_depth: Tensor, bend: float = BEND) -> Tensor:
    """Bool [H, W], where the inverse depth, which is linear on a plane, bends sharply."""
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
    """`marked` [H, W] and what of `within` [H, W] is at most about `steps` pixels away from it on
    the same surface (both bool)."""
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
    """Bool [H, W], where a surface ends beside the texture that shows it, and from there on to
    that texture: it may be the surface behind that is seen here."""
    blank = blank_beside(grey)
    unit = coarse_pixel(grey.size(0), grey.size(1))
    return spread(surface_ends(inverse_depth) & blank, blank, inverse_depth, reach * unit)
