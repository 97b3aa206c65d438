"""Semi-global smoothing of matching costs (Hirschmueller, PAMI 2008) along rows and columns."""

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.box import shifted

FLAT_PENALTY: float = 1.8
"""Cost of a depth discontinuity where the grey value does not change."""
CONTRAST: float = 0.04
"""Grey value difference that halves this cost."""
LEAST_PENALTY: float = 0.15
CALM_REACH: float = 1.25
"""Distance from the surface through other pixels, in steps between labels, at which a pixel belongs
to another surface."""
CALM_SPACING: int = 3
"""Distance in pixels of the nearer ones of these pixels; the others are twice as far away."""


def aggregate_direction(cost: Tensor, small_penalty: float, large_penalty: Tensor) -> Tensor:
    """Path costs along the first dimension.

    `cost` [S, B, L, M]: S steps, B directions, L labels, M independent paths. `large_penalty`
    [S, B, 1, M] is the cost of a jump by more than one label on entering a step.
    """
    steps = cost.size(0)
    result = torch.empty_like(cost)
    previous = cost[0]
    result[0] = previous
    for i in range(1, steps):
        lowest = previous.amin(1, keepdim=True)
        entry = torch.minimum(previous, lowest + large_penalty[i])
        nearby = previous + small_penalty
        lower = entry[:, 1:]
        torch.minimum(lower, nearby[:, :-1], out=lower)
        upper = entry[:, :-1]
        torch.minimum(upper, nearby[:, 1:], out=upper)
        previous = result[i]
        torch.add(entry.sub_(lowest), cost[i], out=previous)
    return result


def aggregate_both_ways(cost: Tensor, small_penalty: float, large_penalty: Tensor) -> Tensor:
    """Sum of the path costs along the first dimension of `cost` [S, L, M], down and up.

    `large_penalty` [S, M] is the cost of a jump between steps i - 1 and i (row 0 unused).
    """
    reverse = torch.cat([large_penalty[:1], large_penalty[1:].flip(0)])
    both = aggregate_direction(
        torch.stack([cost, cost.flip(0)], 1),
        small_penalty,
        torch.stack([large_penalty, reverse], 1)[:, :, None],
    )
    return both[:, 0] + both[:, 1].flip(0)


def edge_penalty(
    grey: Tensor,
    dim: int,
    flat: float = FLAT_PENALTY,
    contrast: float = CONTRAST,
    least: float = LEAST_PENALTY,
) -> Tensor:
    """Cost [H, W] of a depth jump on entering a pixel along `dim`, lower at edges of `grey`."""
    change = torch.diff(grey, dim=dim).abs()
    padded = functional.pad(change, [1, 0]) if dim == 1 else functional.pad(change, [0, 0, 1, 0])
    return (flat / (1.0 + padded / contrast)).clamp_(min=least)


def smooth(cost: Tensor, small_penalty: float, down: Tensor, across: Tensor) -> Tensor:
    """Mean path cost [L, H, W] over four directions of `cost` [L, H, W]; `down` and `across`
    [H, W] are the costs of jumps on entering a pixel from above and from the left."""
    by_rows = aggregate_both_ways(cost.transpose(0, 1).contiguous(), small_penalty, down)
    by_columns = aggregate_both_ways(
        cost.permute(2, 0, 1).contiguous(), small_penalty, across.t().contiguous()
    )
    return by_rows.transpose(0, 1).add(by_columns.permute(1, 2, 0)).mul_(0.25)


def calmed(
    inverse: Tensor, step: float, reach: float = CALM_REACH, spacing: int = CALM_SPACING
) -> Tensor:
    """Inverse depth [H, W] moved towards the surface through the pixels around.

    Every two pixels on opposite sides give the value at the middle of the line between them, so
    slanted planes stay as they are. Pairs that give a very different value do not count: edges and
    corners stay, too.
    """
    total = torch.zeros_like(inverse)
    for ring in range(1, 3):
        far = ring * spacing
        for row, column in [(0, far), (far, 0), (far, far), (far, -far)]:
            off = shifted(inverse, row, column).add(shifted(inverse, -row, -column))
            off = off.mul_(0.5).sub_(inverse)
            weight = (off * (1.0 / (reach * step))).square_().neg_().add_(1.0).clamp_(min=0.0)
            total.addcmul_(off, weight)
    return inverse.add(total, alpha=1.0 / 9.0)
