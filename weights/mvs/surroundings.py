"""What the surroundings of a pixel say about its depth."""

import torch
from torch import Tensor

from weights.mvs.box import shifted

SIMILAR: float = 0.03
"""Relative difference of inverse depths on the same surface."""


def surface_support(inverse_depth: Tensor, known: Tensor, similar: float = SIMILAR) -> Tensor:
    """Share 0..1 [H, W] of 24 pixels in three rings around each that are `known` (bool) and have
    a similar inverse depth. Fragments that float alone have little."""
    unit = max(1, (max(inverse_depth.size(0), inverse_depth.size(1)) + 168) // 336)
    marked = torch.where(known, inverse_depth, torch.full_like(inverse_depth, -1.0))
    tolerance = similar * inverse_depth
    result = torch.zeros_like(inverse_depth)
    rings: list[int] = [2, 5, 9]
    for ring in rings:
        for row in range(-1, 2):
            for column in range(-1, 2):
                if row != 0 or column != 0:
                    other = shifted(marked, row * ring * unit, column * ring * unit)
                    result += (other - inverse_depth).abs_() < tolerance
    return result.mul_(1.0 / (8.0 * len(rings)))


def last_marked(values: Tensor, marked: Tensor, dim: int) -> Tensor:
    """At each pixel of `values` [H, W] the value of the last `marked` pixel up to it along `dim`;
    -1 where there is none."""
    shape = [1, 1]
    shape[dim] = values.size(dim)
    index = torch.arange(values.size(dim), device=values.device).reshape(shape)
    index = torch.where(marked, index, torch.full_like(index, -1))
    last = torch.cummax(index, dim)[0]
    found = values.gather(dim, last.clamp(min=0))
    return torch.where(last >= 0, found, torch.full_like(found, -1.0))


def between(values: Tensor, marked: Tensor, dim: int, similar: float) -> Tensor:
    """Whether a pixel lies between two `marked` ones along `dim` and its value between theirs."""
    before = last_marked(values, marked, dim)
    after = last_marked(values.flip(dim), marked.flip(dim), dim).flip(dim)
    lower = torch.minimum(before, after)
    upper = torch.maximum(before, after)
    inside = (values > lower * (1.0 - similar)) & (values < upper * (1.0 + similar))
    return (lower > 0.0) & inside


def enclosed(inverse_depth: Tensor, evident: Tensor, similar: float = SIMILAR) -> Tensor:
    """Where a surface without texture of its own is held on all four sides: there are `evident`
    pixels to the left, to the right, above and below, and the inverse depth lies between theirs.
    True of an empty wall between textured things, not of the sky above a roof."""
    across = between(inverse_depth, evident, 1, similar)
    return across & between(inverse_depth, evident, 0, similar)
