"""Scale-invariant blob detector: extrema of the difference of Gaussians (Lowe 2004, sections
3 and 4), spread over the image."""

import math

import torch
from torch import Tensor


def local_maximum(values: Tensor) -> Tensor:
    """Maximum over 3x3 neighbourhoods of [C, H, W] -> [C, H - 2, W - 2]."""
    across = torch.maximum(values[:, :, 2:], values[:, :, :-2])
    across = torch.maximum(across, values[:, :, 1:-1])
    down = torch.maximum(across[:, 2:], across[:, :-2])
    return torch.maximum(down, across[:, 1:-1])


def extrema(differences: Tensor, border: int, threshold: float) -> Tensor:
    """Flat indices into [D, h, w] of scale-space extrema above a threshold."""
    height, width = differences.size(1), differences.size(2)
    centre = differences[1:-1, 1:-1, 1:-1]
    highest = local_maximum(differences)
    highest = torch.maximum(torch.maximum(highest[:-2], highest[2:]), highest[1:-1])
    lowest = local_maximum(-differences)
    lowest = -torch.maximum(torch.maximum(lowest[:-2], lowest[2:]), lowest[1:-1])
    found = ((centre >= highest) & (centre > threshold)) | (
        (centre <= lowest) & (centre < -threshold)
    )
    inner = border - 1
    window = torch.zeros_like(found)
    window[:, inner:-inner, inner:-inner] = found[:, inner:-inner, inner:-inner]
    where = torch.nonzero(window)
    return ((where[:, 0] + 1) * height + where[:, 1] + 1) * width + where[:, 2] + 1


def detect_octave(levels: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Extrema of one octave [6, h, w], refined to a fraction of a pixel.

    Returns positions [k, 2] in pixel indices of the octave, levels int64 [k], strengths [k].
    """
    differences = levels[1:] - levels[:-1]
    height, width = differences.size(1), differences.size(2)
    index = extrema(differences, 8, threshold)
    flat = differences.reshape(-1)
    at = flat[index]
    left, right = flat[index - 1], flat[index + 1]
    above, below = flat[index - width], flat[index + width]
    diagonal = (
        flat[index + width + 1]
        + flat[index - width - 1]
        - flat[index - width + 1]
        - flat[index + width - 1]
    ) / 4.0
    gradient_x, gradient_y = (right - left) / 2.0, (below - above) / 2.0
    curvature_x, curvature_y = right + left - 2.0 * at, below + above - 2.0 * at
    determinant = curvature_x * curvature_y - diagonal * diagonal
    trace = curvature_x + curvature_y
    # Reject edges: one principal curvature is small, so the position along the edge is arbitrary.
    keep = torch.nonzero((determinant > 0) & (trace * trace < 12.1 * determinant))[:, 0]
    index, determinant = index[keep], determinant[keep].clamp(min=1e-20)
    gradient_x, gradient_y, diagonal = gradient_x[keep], gradient_y[keep], diagonal[keep]
    shift_x = -(curvature_y[keep] * gradient_x - diagonal * gradient_y) / determinant
    shift_y = -(curvature_x[keep] * gradient_y - diagonal * gradient_x) / determinant
    column = (index % width).to(levels.dtype) + shift_x.clamp(-0.6, 0.6)
    row = ((index // width) % height).to(levels.dtype) + shift_y.clamp(-0.6, 0.6)
    return torch.stack([column, row], dim=1), index // (height * width), at[keep].abs()


def spread_order(
    positions: Tensor, strengths: Tensor, height: int, width: int, count: int
) -> Tensor:
    """Indices of at most `count` features, strong ones first, penalised in crowded cells.

    Divides a feature's strength by 1 + (its rank in its cell) / (the cell's fair share).
    """
    cells = 8
    column = (positions[:, 0] * (cells / float(width))).long().clamp(0, cells - 1)
    row = (positions[:, 1] * (cells / float(height))).long().clamp(0, cells - 1)
    order = torch.argsort(strengths, descending=True, stable=True)
    cell = (row * cells + column)[order]
    by_cell = torch.argsort(cell, stable=True)
    sizes = torch.bincount(cell, minlength=cells * cells)
    starts = torch.cumsum(sizes, 0) - sizes
    ranks = torch.empty_like(order)
    ranks[by_cell] = torch.arange(order.size(0), device=order.device) - starts[cell[by_cell]]
    share = float(count) / float(cells * cells)
    held_back = strengths[order] / (1.0 + ranks.to(strengths.dtype) / share)
    best = torch.argsort(held_back, descending=True, stable=True)[:count]
    return order[best]


def detect(
    octaves: list[Tensor], scale: float, height: int, width: int, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """At most `count` features of an image from its scale space.

    Returns float [k, 2] pixel indices in the image, int64 [k, 2] (octave, level), float [k]
    strengths (contrast in grey levels of 0..1).
    """
    threshold = 0.0012
    positions: list[Tensor] = []
    places: list[Tensor] = []
    strengths: list[Tensor] = []
    for octave in range(len(octaves)):
        levels = octaves[octave]
        if min(levels.size(1), levels.size(2)) < 24:
            continue
        found, level, strength = detect_octave(levels, threshold)
        step = math.pow(2.0, float(octave))
        positions.append((found * step + 0.5) / scale - 0.5)
        places.append(torch.stack([torch.full_like(level, octave), level], dim=1))
        strengths.append(strength)
    if len(positions) == 0:
        device = octaves[0].device
        return (
            torch.zeros(0, 2, device=device),
            torch.zeros(0, 2, dtype=torch.int64, device=device),
            torch.zeros(0, device=device),
        )
    position, place, strength = torch.cat(positions), torch.cat(places), torch.cat(strengths)
    best = spread_order(position, strength, height, width, count)
    return position[best], place[best], strength[best]
