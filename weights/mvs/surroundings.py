"""Evidence for the depth of a pixel from its surroundings."""

import torch
from torch import Tensor

from weights.mvs.box import shifted

SIMILAR: float = 0.03
"""Largest relative difference of inverse depths on the same surface."""


def surface_support(inverse_depth: Tensor, known: Tensor, similar: float = SIMILAR) -> Tensor:
    """Share 0..1 [H, W] of the 24 pixels in three rings around each pixel that are `known` (bool)
    and have a similar inverse depth. Isolated fragments have little support."""
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


def last_marked(marked: Tensor, dim: int) -> Tensor:
    """Index int64 [H, W] along `dim` of the last `marked` pixel up to each; -1 where there is
    none."""
    shape = [1, 1]
    shape[dim] = marked.size(dim)
    index = torch.arange(marked.size(dim), device=marked.device).reshape(shape)
    return torch.cummax(torch.where(marked, index, torch.full_like(index, -1)), dim)[0]


def between(values: Tensor, marked: Tensor, dim: int, similar: float) -> Tensor:
    """Whether a pixel is between two `marked` ones along `dim`, on the line through their values
    (inverse depth is linear on a plane)."""
    length = values.size(dim)
    before = last_marked(marked, dim)
    after = length - 1 - last_marked(marked.flip(dim), dim).flip(dim)
    held = (before >= 0) & (after < length)
    before = before.clamp(min=0)
    after = after.clamp(max=length - 1)
    shape = [1, 1]
    shape[dim] = length
    index = torch.arange(length, device=values.device).reshape(shape)
    share = (index - before).to(values.dtype) / (after - before).clamp(min=1)
    expected = torch.lerp(values.gather(dim, before), values.gather(dim, after), share)
    return held & ((values - expected).abs() < similar * values)


def enclosed(inverse_depth: Tensor, evident: Tensor, similar: float = SIMILAR) -> Tensor:
    """Where an untextured surface is supported on all four sides: the pixel lies on the line
    between the next `evident` pixels to the left and right, and on the line between those above and
    below. True for an empty wall between textured objects on it; false for the sky above a roof or
    a wall behind objects in front of it."""
    across = between(inverse_depth, evident, 1, similar)
    return across & between(inverse_depth, evident, 0, similar)
