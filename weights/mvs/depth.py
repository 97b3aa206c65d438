"""Coarse-to-fine depth estimation of one frame from its neighbours."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.box import box_mean, double, pyramid, shifted
from weights.mvs.smoothing import calmed, edge_penalty, smooth
from weights.mvs.state import Frames
from weights.mvs.sweep import (
    Neighbour,
    Reference,
    even_contrast,
    make_neighbour,
    make_reference,
    matching_cost,
    pixel_shift,
)

SWEPT: int = 4
"""Maximum number of neighbours to match a frame with."""
POLISHED_WITH: int = 3
"""The same at the finest of three or more levels."""
COARSE_SIDE: int = 170
"""Largest longer side in pixels of the level that searches the full depth range."""
FEWEST_PLANES: int = 48
MOST_PLANES: int = 60
PLANE_STEP: float = 0.8
"""Spacing of the planes in pixels of the neighbour with most parallax."""
FEWER_PLANES: float = 0.8
"""Share of the planes that is enough if two or more finer levels follow."""
EDGE_BIAS: float = 0.03
SMALL_PENALTY: float = 0.1
"""Smoothness cost of a change by one label."""
LEAST_UNIQUENESS: float = 0.12
"""Relative difference to the cost of the second best depth from which a depth is unique."""
REACH: int = 2
"""Steps to either side in the search of a finer level; each is half a step of the coarser level."""

POLISHED: int = 1
"""Half the side of the window whose pixels move together in the last levels."""
HOLD: float = 0.002
"""Bend of the cost below which a pixel keeps the depth of the coarser level."""


class Swept(NamedTuple):
    """The depth of one frame before the cross-frame consistency check."""

    inverse_depth: Tensor
    """[H, W]"""
    correlation: Tensor
    """[H, W] 0..1, mean over the best two neighbours."""
    unique: Tensor
    """Bool [H, W], whether the cost of every other depth is clearly higher."""


def level_count(height: int, width: int, coarse_side: int = COARSE_SIDE) -> int:
    """Number of pyramid levels for which the coarsest fits `COARSE_SIDE`."""
    levels = 1
    side = max(height, width)
    while side > coarse_side:
        side = (side + 1) // 2
        levels += 1
    return levels


class Level(NamedTuple):
    """One resolution of a frame and its neighbours."""

    reference: Reference
    neighbours: list[Neighbour]


def make_level(frames: Frames, grey: list[Tensor], i: int, level: int) -> Level:
    """Frame `i` and its neighbours at a pyramid level; `grey[level]` holds their images, its own
    first. A pixel of level l covers 2^l pixels of the full image."""
    scale = float(2**level)
    inset = (scale - 1.0) / 2.0
    centre_x = ((float(frames.grey.size(2)) - 1.0) / 2.0 - inset) / scale
    centre_y = ((float(frames.grey.size(1)) - 1.0) / 2.0 - inset) / scale
    exact = level == 0
    images = grey[level] if exact else even_contrast(grey[level])
    reference = make_reference(
        grey[level][0], images[0], exact, frames.focal[i] / scale, centre_x, centre_y
    )
    neighbours: list[Neighbour] = []
    for k in range(1, grey[level].size(0)):
        j = frames.neighbours[i][k - 1]
        rotation = frames.rotations[j] @ frames.rotations[i].t()
        translation = frames.translations[j] - rotation @ frames.translations[i]
        neighbours.append(
            make_neighbour(reference, images[k], frames.focal[j] / scale, rotation, translation)
        )
    return Level(reference, neighbours)


def lowest_label(cost: Tensor) -> Tensor:
    """Sub-label index [H, W] of the minimum of the costs [L, H, W], by a parabola fit."""
    labels = cost.size(0)
    _, best = cost.min(0, keepdim=True)
    inner = best.clamp(1, labels - 2)
    before = cost.gather(0, inner - 1)
    middle = cost.gather(0, inner)
    after = cost.gather(0, inner + 1)
    bend = (before + after - 2.0 * middle).clamp_(min=1e-6)
    offset = ((before - after) / (2.0 * bend)).clamp_(-0.5, 0.5)
    at_end = best != inner
    return torch.where(at_end, best.to(cost.dtype), inner + offset)[0]


def uniqueness_of(cost: Tensor, margin: int) -> Tensor:
    """0..1 [H, W]: 0 where a label more than `margin` away from the best has the same cost."""
    best, index = cost.min(0, keepdim=True)
    others = cost.clone()
    for off in range(-margin, margin + 1):
        others.scatter_(0, (index + off).clamp_(0, cost.size(0) - 1), 10.0)
    other = others.amin(0)
    return ((other - best[0]) / other.clamp(min=1e-3)).clamp_(0.0, 1.0)


def plane_count(
    neighbours: list[Neighbour],
    farthest: float,
    nearest: float,
    finer: int,
    plane_step: float = PLANE_STEP,
    fewest: int = FEWEST_PLANES,
    most: int = MOST_PLANES,
    fewer: float = FEWER_PLANES,
) -> int:
    """Number of planes between two inverse depths, at about one pixel of motion per plane;
    `finer` levels follow."""
    shift = 0.0
    for neighbour in neighbours:
        moved, seen = pixel_shift(neighbour, nearest, farthest)
        if seen > 0.2:
            shift = max(shift, moved)
    planes = max(fewest, min(most, int(shift / plane_step) + 1))
    return int(planes * fewer) if finer > 1 else planes


def search_all(
    level: Level,
    farthest: float,
    nearest: float,
    finer: int,
    small_penalty: float = SMALL_PENALTY,
) -> tuple[Tensor, Tensor, float]:
    """Inverse depth and uniqueness [h, w] over the whole range, and the step between planes;
    `finer` levels follow."""
    grey = level.reference.grey
    planes = plane_count(level.neighbours, farthest, nearest, finer)
    step = (nearest - farthest) / (planes - 1)
    labels = torch.arange(planes, device=grey.device, dtype=torch.float32)
    hypotheses = (farthest + step * labels)[:, None, None]
    cost = matching_cost(level.reference, level.neighbours, hypotheses)
    smoothed = smooth(cost, small_penalty, edge_penalty(grey, 0), edge_penalty(grey, 1))
    inverse = farthest + step * lowest_label(smoothed)
    return inverse, uniqueness_of(smoothed, 2), step


def enlarge(coarse: Tensor, height: int, width: int, step: float) -> Tensor:
    """Upsample by 2: interpolate on smooth surfaces, repeat at depth discontinuities."""
    repeated = double(coarse, height, width)
    even = [coarse.size(0) * 2, coarse.size(1) * 2]
    even_map = functional.interpolate(
        coarse[None, None], size=even, mode="bilinear", align_corners=False
    )
    smooth_map = even_map[0, 0, :height, :width]
    return torch.where((smooth_map - repeated).abs() < step, smooth_map, repeated)


def settle_edges(level: Level, base: Tensor, bias: float = EDGE_BIAS) -> Tensor:
    """Take the depth of a pixel two to the side where that correlates better. This moves edges that
    were found at half the resolution to their correct position."""
    candidates = torch.stack(
        [
            base,
            shifted(base, -2, 0),
            shifted(base, 2, 0),
            shifted(base, 0, -2),
            shifted(base, 0, 2),
        ]
    )
    cost = matching_cost(level.reference, level.neighbours, candidates)
    cost[1:] += bias
    _, best = cost.min(0, keepdim=True)
    return candidates.gather(0, best)[0]


def refine(
    level: Level,
    base: Tensor,
    step: float,
    reach: int = REACH,
    small_penalty: float = SMALL_PENALTY,
) -> tuple[Tensor, Tensor]:
    """Inverse depth and correlation [h, w]; searches `REACH` steps to either side of `base`."""
    grey = level.reference.grey
    labels = torch.arange(-reach, reach + 1, device=grey.device, dtype=torch.float32)
    hypotheses = base[None] + step * labels[:, None, None]
    cost = matching_cost(level.reference, level.neighbours, hypotheses)
    jump_down = functional.pad(torch.diff(base, dim=0).abs(), [0, 0, 1, 0]) > 2.0 * step
    jump_across = functional.pad(torch.diff(base, dim=1).abs(), [1, 0]) > 2.0 * step
    smoothed = smooth(
        cost,
        small_penalty,
        edge_penalty(grey, 0).masked_fill(jump_down, 0.0),
        edge_penalty(grey, 1).masked_fill(jump_across, 0.0),
    )
    label = lowest_label(smoothed)
    nearest = label.round().to(torch.int64).clamp(0, 2 * reach)
    correlation = 1.0 - cost.gather(0, nearest[None])[0]
    return base + step * (label - reach), correlation


def polish(
    level: Level,
    base: Tensor,
    step: float,
    radius: int = POLISHED,
    hold: float = HOLD,
) -> tuple[Tensor, Tensor]:
    """Inverse depth and correlation [h, w]: moves `base` by up to a step to the minimum of the
    costs, each approximated by a parabola, summed over a window.

    The window's pixels move together, but the jumps between them stay as they are.
    """
    steps = torch.tensor([-step, 0.0, step], device=base.device)
    cost = matching_cost(level.reference, level.neighbours, base[None] + steps[:, None, None])
    slope = cost[2] - cost[0]
    bend = cost[2] + cost[0] - 2.0 * cost[1]
    sums = box_mean(torch.stack([slope, bend]), radius)
    offset = (sums[0] / sums[1].clamp_(min=0.0).add_(hold)).mul_(-0.5).clamp_(-1.0, 1.0)
    correlation = 1.0 - torch.minimum(cost[1], torch.minimum(cost[0], cost[2]))
    return base.add(offset, alpha=step), correlation


def sweep_frame(
    frames: Frames,
    i: int,
    most_neighbours: int = SWEPT,
    polished_with: int = POLISHED_WITH,
    least_uniqueness: float = LEAST_UNIQUENESS,
) -> Swept:
    """Estimate the depth of frame `i`, which has at least one neighbour."""
    height = frames.grey.size(1)
    width = frames.grey.size(2)
    device = frames.grey.device
    levels = level_count(height, width)
    used = [i]
    used.extend(frames.neighbours[i][:most_neighbours])
    grey = pyramid(frames.grey[torch.tensor(used, device=device)], levels)
    if levels > 2:
        grey[0] = grey[0][: 1 + polished_with]
    farthest = frames.inverse_depths[i][0]
    nearest = frames.inverse_depths[i][2]
    coarse = make_level(frames, grey, i, levels - 1)
    inverse, uniqueness, step = search_all(coarse, farthest, nearest, levels - 1)
    unique = uniqueness > least_uniqueness
    correlation = torch.zeros_like(inverse)
    if levels == 1:
        inverse, correlation = refine(coarse, inverse, 0.5 * step)
    for back in range(1, levels):
        level = make_level(frames, grey, i, levels - 1 - back)
        rows = level.reference.grey.size(0)
        columns = level.reference.grey.size(1)
        unique = double(unique, rows, columns)
        inverse = enlarge(inverse, rows, columns, step)
        step = 0.5 * step
        if back == 1:
            inverse, correlation = refine(level, settle_edges(level, inverse), step)
        else:
            inverse, correlation = polish(level, inverse, step)
        inverse = calmed(inverse, step)
    inverse = calmed(inverse, step)
    inverse = inverse.clamp(min=0.25 * farthest)
    return Swept(inverse, correlation, unique)
