"""Detection of fragments: small isolated pieces of surface."""

import torch
from torch import Tensor

SIMILAR: float = 0.03
"""Largest relative difference of inverse depths between neighbouring pixels of one surface."""
SMALLEST: float = 0.003
"""Share of all pixels below which a connected piece counts as a fragment."""
WORKING_SIDE: int = 170
"""Largest longer side in pixels to work on; larger images are subsampled by a power of two."""


def joined(inverse_depth: Tensor, known: Tensor, dim: int, similar: float) -> Tensor:
    """Whether each pixel and the next along `dim` are known and on one surface."""
    last = inverse_depth.size(dim) - 1
    here = inverse_depth.narrow(dim, 0, last)
    there = inverse_depth.narrow(dim, 1, last)
    close = (here - there).abs() < similar * torch.minimum(here, there)
    return close & known.narrow(dim, 0, last) & known.narrow(dim, 1, last)


def connected_labels(pixels: int, first: Tensor, second: Tensor) -> Tensor:
    """Labels int64 [pixels] of the connected components of the edges `first` [E], `second` [E]
    (hooking and pointer jumping, Shiloach and Vishkin, 1982)."""
    labels = torch.arange(pixels, device=first.device)
    rounds = 0
    changed = first.size(0) > 0
    while changed and rounds < pixels:
        before = labels
        mine = labels[first]
        other = labels[second]
        higher = torch.maximum(mine, other)
        labels = labels.scatter_reduce(0, mine, higher, "amax")
        labels = labels.scatter_reduce(0, other, higher, "amax")
        labels = labels[labels]
        labels = labels[labels]
        changed = bool((labels != before).any())
        rounds += 1
    return labels


def part_of_fragment(
    inverse_depth: Tensor,
    known: Tensor,
    similar: float = SIMILAR,
    smallest: float = SMALLEST,
    working_side: int = WORKING_SIDE,
) -> Tensor:
    """Bool [H, W]: known pixels whose connected surface is a fragment."""
    height = known.size(0)
    width = known.size(1)
    stride = 1
    while max(height, width) > working_side * stride:
        stride *= 2
    sampled = inverse_depth[::stride, ::stride].contiguous()
    marked = known[::stride, ::stride].contiguous()
    index = torch.arange(sampled.numel(), device=known.device).reshape(sampled.size())
    down = joined(sampled, marked, 0, similar)
    across = joined(sampled, marked, 1, similar)
    labels = connected_labels(
        sampled.numel(),
        torch.cat([index[:-1][down], index[:, :-1][across]]),
        torch.cat([index[1:][down], index[:, 1:][across]]),
    )
    sizes = torch.zeros_like(labels).scatter_add(0, labels, torch.ones_like(labels))
    small = (sizes[labels] < smallest * labels.numel()).reshape(sampled.size())
    small = small.repeat_interleave(stride, 0).repeat_interleave(stride, 1)
    return small[:height, :width] & known
