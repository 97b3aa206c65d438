"""Plane sweep: how well frames agree on each pixel's depth, by normalised cross-correlation.

Every pixel has its own depth hypotheses. A window is compared after each of its pixels has been
warped with its own hypothesis, so on a base surface that is nearly right the windows follow its
slant (compare the plane-sweeping stereo with slanted windows of Gallup et al., CVPR 2007).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.box import box_mean, running_sum

SMALL_RADIUS: int = 2
"""Half the side of the small correlation window."""
SPACING: int = 3
"""The large window is the sum of 3x3 small windows this far apart (11 pixels a side, tapered)."""
NOISE: float = 6e-5
"""Added to variances of grey values in 0..1: what a window without texture shows."""
UNSEEN: float = -2.0
"""Stands for a correlation outside a neighbour's image."""
NO_EVIDENCE: float = 0.9
"""The cost where no neighbour sees the point."""
CHUNK: int = 60000
"""Pixels that one pass works on, so that its intermediate images stay in the cache."""


class Reference(NamedTuple):
    """A grey image and what correlating with it needs."""

    grey: Tensor
    """[h, w]"""
    small_mean: Tensor
    small_scale: Tensor
    """One over the standard deviation in the small window."""
    large_mean: Tensor
    large_scale: Tensor
    rays: Tensor
    """[3, h, w], z is 1"""
    focal: float
    centre_x: float
    centre_y: float


class Neighbour(NamedTuple):
    """A grey image and its camera relative to the reference."""

    grey: Tensor
    """[1, 1, h, w]"""
    rays: Tensor
    """[3, h, w], the rays of the reference turned into this camera, in units of pixels: the point
    at inverse depth q projects to the pixel (x + q tx, y + q ty) / (z + q tz)."""
    shift_x: float
    shift_y: float
    shift_z: float


def large_windows(small: Tensor, spacing: int = SPACING) -> Tensor:
    """Large windows [B, h, w] from small ones (means) [B, h, w]."""
    padded = functional.pad(small, [spacing, spacing, spacing, spacing], mode="replicate")
    width = small.size(2)
    height = small.size(1)
    across = padded[:, :, :width] + padded[:, :, spacing : spacing + width]
    across = across.add_(padded[:, :, 2 * spacing :])
    down = across[:, :height] + across[:, spacing : spacing + height]
    return down.add_(across[:, 2 * spacing :]).mul_(1.0 / 9.0)


def inverse_deviation(mean: Tensor, mean_of_square: Tensor, noise: float = NOISE) -> Tensor:
    """One over the standard deviation."""
    return (mean_of_square - mean * mean).clamp_(min=0.0).add_(noise).rsqrt_()


def make_reference(
    grey: Tensor,
    focal: float,
    centre_x: float,
    centre_y: float,
    radius: int = SMALL_RADIUS,
) -> Reference:
    """Prepare the image `grey` [h, w] to be compared."""
    height = grey.size(0)
    width = grey.size(1)
    small = box_mean(torch.stack([grey, grey * grey]), radius)
    large = large_windows(small)
    small_scale = inverse_deviation(small[0], small[1])
    large_scale = inverse_deviation(large[0], large[1])
    x = (torch.arange(width, device=grey.device, dtype=torch.float32) - centre_x) / focal
    y = (torch.arange(height, device=grey.device, dtype=torch.float32) - centre_y) / focal
    rays = torch.stack(
        [
            x[None].expand(height, width),
            y[:, None].expand(height, width),
            torch.ones([height, width], device=grey.device),
        ]
    )
    return Reference(
        grey, small[0], small_scale, large[0], large_scale, rays, focal, centre_x, centre_y
    )


def make_neighbour(
    reference: Reference, grey: Tensor, rotation: Tensor, translation: Tensor
) -> Neighbour:
    """`rotation` [3, 3] and `translation` [3] (on the CPU) take reference to this camera."""
    focal = reference.focal
    turn: list[float] = []
    for i in range(9):
        turn.append(float(rotation[i // 3, i % 3]))
    step: list[float] = [float(translation[0]), float(translation[1]), float(translation[2])]
    u = reference.rays[0]
    v = reference.rays[1]
    z = turn[6] * u + turn[7] * v + turn[8]
    x = focal * (turn[0] * u + turn[1] * v + turn[2]) + reference.centre_x * z
    y = focal * (turn[3] * u + turn[4] * v + turn[5]) + reference.centre_y * z
    return Neighbour(
        grey[None, None],
        torch.stack([x, y, z]),
        focal * step[0] + reference.centre_x * step[2],
        focal * step[1] + reference.centre_y * step[2],
        step[2],
    )


def pixel_shift(neighbour: Neighbour, nearer: float, farther: float) -> tuple[float, float]:
    """How far pixels move in the neighbour between two inverse depths: the mean over the pixels
    that it sees, and the share of such pixels."""
    rays = neighbour.rays[:, ::4, ::4]
    height = neighbour.grey.size(2)
    width = neighbour.grey.size(3)
    near_z = (rays[2] + nearer * neighbour.shift_z).clamp(min=1e-3)
    near_x = (rays[0] + nearer * neighbour.shift_x) / near_z
    near_y = (rays[1] + nearer * neighbour.shift_y) / near_z
    far_z = (rays[2] + farther * neighbour.shift_z).clamp(min=1e-3)
    far_x = (rays[0] + farther * neighbour.shift_x) / far_z
    far_y = (rays[1] + farther * neighbour.shift_y) / far_z
    mid_x = (near_x + far_x) * 0.5
    mid_y = (near_y + far_y) * 0.5
    seen = (mid_x > 0.0) & (mid_x < width - 1.0) & (mid_y > 0.0) & (mid_y < height - 1.0)
    shift = ((near_x - far_x).square() + (near_y - far_y).square()).sqrt()
    count = float(seen.sum())
    return float((shift * seen).sum()) / max(count, 1.0), count / float(max(1, seen.numel()))


def correlate(
    reference: Reference,
    neighbour: Neighbour,
    hypotheses: Tensor,
    radius: int = SMALL_RADIUS,
    unseen: float = UNSEEN,
) -> Tensor:
    """Correlation -1..1 (or `UNSEEN`) float32 [L, h, w] at inverse depths [L, h, w] or [L, 1, 1].

    The mean of the correlations in the small and the large window.
    """
    count = hypotheses.size(0)
    height = reference.grey.size(0)
    width = reference.grey.size(1)
    z = (hypotheses * neighbour.shift_z).expand(count, height, width) + neighbour.rays[2]
    behind = z < 1e-3
    inverse = z.clamp_(min=1e-3).reciprocal_()
    grid = torch.empty([count, height, width, 2], device=hypotheses.device)
    x = (hypotheses * neighbour.shift_x).expand(count, height, width) + neighbour.rays[0]
    x = x.mul_(inverse).add_(0.5).mul_(2.0 / width).sub_(1.0)
    y = (hypotheses * neighbour.shift_y).expand(count, height, width) + neighbour.rays[1]
    y = y.mul_(inverse).add_(0.5).mul_(2.0 / height).sub_(1.0)
    outside = (torch.maximum(x.abs(), y.abs()) > 1.0).logical_or_(behind)
    grid[..., 0] = x
    grid[..., 1] = y
    images = neighbour.grey.expand(count, 1, height, width)
    warped = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )[:, 0]
    side = 2 * radius + 1
    stack = torch.empty([3 * count, height, width], device=hypotheses.device)
    stack[:count] = warped
    torch.mul(warped, warped, out=stack[count : 2 * count])
    torch.mul(warped, reference.grey, out=stack[2 * count :])
    stack = functional.pad(stack, [radius, radius, radius, radius], mode="replicate")
    small = running_sum(running_sum(stack, side, 2), side, 1).mul_(1.0 / (side * side))
    large = large_windows(small)
    score = one_correlation(small, reference.small_mean, reference.small_scale)
    score = score.add_(one_correlation(large, reference.large_mean, reference.large_scale))
    return score.mul_(0.5).masked_fill_(outside, unseen)


def one_correlation(windows: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """From window means of the warped image, its square and its product with the reference."""
    count = windows.size(0) // 3
    first = windows[:count]
    spread = inverse_deviation(first, windows[count : 2 * count])
    return (windows[2 * count :] - first * mean).mul_(scale).mul_(spread)


def matching_cost(
    reference: Reference,
    neighbours: list[Neighbour],
    hypotheses: Tensor,
    no_evidence: float = NO_EVIDENCE,
    chunk: int = CHUNK,
) -> Tensor:
    """Cost 0..1 float32 [L, h, w] of each hypothesis: one minus the mean correlation of the best
    two neighbours, so that a point hidden from some of them can still be found."""
    height = reference.grey.size(0)
    width = reference.grey.size(1)
    count = hypotheses.size(0)
    per_pass = max(1, chunk // (height * width))
    result = torch.empty([count, height, width], device=reference.grey.device)
    begin = 0
    while begin < count:
        end = min(count, begin + per_pass)
        part = hypotheses[begin:end]
        best = torch.full([end - begin, height, width], -2.0, device=reference.grey.device)
        second = best.clone()
        for neighbour in neighbours:
            score = correlate(reference, neighbour, part)
            second = torch.maximum(second, torch.minimum(best, score))
            best = torch.maximum(best, score)
        unseen = best < -1.5
        alone = second < -1.5
        mean = (best.clamp(min=0.0) + torch.where(alone, best, second).clamp_(min=0.0)).mul_(0.5)
        result[begin:end] = (1.0 - mean).masked_fill_(unseen, no_evidence)
        begin = end
    return result
