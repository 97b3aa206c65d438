"""Plane sweep: matching cost of each pixel's depth hypotheses by normalised cross-correlation.

Every pixel has its own depth hypotheses. Each pixel of a window is warped with its own hypothesis
before the comparison, so on an approximately correct base surface the windows follow its slant
(compare the plane-sweeping stereo with slanted windows of Gallup et al., CVPR 2007).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.box import running_sum

SMALL_RADIUS: int = 2
"""Half the side of the small correlation window."""
SPACING: int = 3
"""Spacing in pixels of the 3x3 small windows that form the large window (11x11, tapered)."""
NOISE: float = 6e-5
"""Noise variance of grey values in 0..1, added to the variances of windows."""
LEAST_SHARE: float = 0.2
"""Variance in a window of half the size relative to that of the window, below which the weight of
the window decreases."""
UNSEEN: float = -2.0
"""Marks a correlation outside a neighbour's image."""
NO_EVIDENCE: float = 0.9
"""Cost of a point that no neighbour sees."""
CHUNK: int = 60000
"""Pixels per pass, chosen so that intermediate images stay in the cache."""


class Reference(NamedTuple):
    """A grey image with precomputed values for the correlation."""

    grey: Tensor
    """[h, w]"""
    padded: Tensor
    """[h + 2 m, w + 2 m], the same with its edges repeated by the margin m of the windows."""
    small_mean: Tensor
    """[h, w], the negated mean in the small window."""
    small_scale: Tensor
    """[h, w], the small window's weight in the correlation divided by its standard deviation."""
    large_mean: Tensor
    large_scale: Tensor
    rays: Tensor
    """[3, h, w], with z = 1"""
    centre_x: float
    centre_y: float


class Neighbour(NamedTuple):
    """A grey image and its camera relative to the reference."""

    grey: Tensor
    """[1, 1, h, w]"""
    rays: Tensor
    """[3, h, w], the rays of the reference rotated into this camera, in units in which its image is
    -1..1: a point at inverse depth q projects to (x + q tx, y + q ty) / (z + q tz)."""
    shift_x: float
    shift_y: float
    shift_z: float


def windows(images: Tensor, radius: int, spacing: int) -> tuple[Tensor, Tensor]:
    """Sums over the small and the large windows of `images` [B, h + 2 m, w + 2 m], both [B, h, w],
    where the margin m is `radius + spacing`."""
    side = 2 * radius + 1
    small = running_sum(running_sum(images, side, 2), side, 1)
    height = small.size(1) - 2 * spacing
    width = small.size(2) - 2 * spacing
    across = small[:, :, :width] + small[:, :, spacing : spacing + width]
    across.add_(small[:, :, 2 * spacing :])
    large = across[:, :height] + across[:, spacing : spacing + height]
    large.add_(across[:, 2 * spacing :])
    return small[:, spacing : spacing + height, spacing : spacing + width], large


def deviations(
    total: Tensor, total_of_squares: Tensor, count: float, noise: float = NOISE
) -> Tensor:
    """`count` times the standard deviation of `count` numbers, from their sums."""
    scaled = total_of_squares * count + count * count * noise
    return scaled.addcmul_(total, total, value=-1.0).sqrt_()


def make_reference(
    grey: Tensor,
    focal: float,
    centre_x: float,
    centre_y: float,
    radius: int = SMALL_RADIUS,
    spacing: int = SPACING,
    least_share: float = LEAST_SHARE,
) -> Reference:
    """Precompute the reference values of the image `grey` [h, w]."""
    height = grey.size(0)
    width = grey.size(1)
    margin = radius + spacing
    padded = functional.pad(grey[None], [margin, margin, margin, margin], mode="replicate")
    both = torch.cat([padded, padded * padded])
    small, large = windows(both, radius, spacing)
    tiny, _ = windows(both[:, 1:-1, 1:-1], radius - 1, spacing)
    in_small = float((2 * radius + 1) ** 2)
    in_large = 9.0 * in_small
    in_tiny = float((2 * radius - 1) ** 2)
    tiny_deviation = deviations(tiny[0], tiny[1], in_tiny) / in_tiny
    small_deviation = deviations(small[0], small[1], in_small) / in_small
    large_deviation = deviations(large[0], large[1], in_large) / in_large
    # Reduce the weight of a window whose texture is beside the pixel and not around it.
    small_weight = (tiny_deviation / small_deviation).square() / least_share
    large_weight = (small_deviation / large_deviation).square() / least_share
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
        grey,
        padded[0],
        small[0] * (-1.0 / in_small),
        0.5 * small_weight.clamp_(max=1.0) / small_deviation,
        large[0] * (-1.0 / in_large),
        0.5 * large_weight.clamp_(max=1.0) / large_deviation,
        rays,
        centre_x,
        centre_y,
    )


def make_neighbour(
    reference: Reference, grey: Tensor, focal: float, rotation: Tensor, translation: Tensor
) -> Neighbour:
    """`rotation` [3, 3] and `translation` [3] (on the CPU) map the reference to this camera, whose
    focal length is `focal` pixels."""
    turn: list[float] = []
    for i in range(9):
        turn.append(float(rotation[i // 3, i % 3]))
    step: list[float] = [float(translation[0]), float(translation[1]), float(translation[2])]
    u = reference.rays[0]
    v = reference.rays[1]
    z = turn[6] * u + turn[7] * v + turn[8]
    x = focal * (turn[0] * u + turn[1] * v + turn[2]) + reference.centre_x * z
    y = focal * (turn[3] * u + turn[4] * v + turn[5]) + reference.centre_y * z
    # From pixel indices to -1..1 over the image, as `grid_sample` expects them.
    to_x = 2.0 / grey.size(1)
    to_y = 2.0 / grey.size(0)
    shift_x = focal * step[0] + reference.centre_x * step[2]
    shift_y = focal * step[1] + reference.centre_y * step[2]
    return Neighbour(
        grey[None, None],
        torch.stack([(x + 0.5 * z) * to_x - z, (y + 0.5 * z) * to_y - z, z]),
        (shift_x + 0.5 * step[2]) * to_x - step[2],
        (shift_y + 0.5 * step[2]) * to_y - step[2],
        step[2],
    )


def pixel_shift(neighbour: Neighbour, nearer: float, farther: float) -> tuple[float, float]:
    """Mean pixel motion in the neighbour between two inverse depths, over the pixels that it sees,
    and the share of such pixels."""
    rays = neighbour.rays[:, ::4, ::4]
    near_z = (rays[2] + nearer * neighbour.shift_z).clamp(min=1e-3)
    near_x = (rays[0] + nearer * neighbour.shift_x) / near_z
    near_y = (rays[1] + nearer * neighbour.shift_y) / near_z
    far_z = (rays[2] + farther * neighbour.shift_z).clamp(min=1e-3)
    far_x = (rays[0] + farther * neighbour.shift_x) / far_z
    far_y = (rays[1] + farther * neighbour.shift_y) / far_z
    seen = torch.maximum((near_x + far_x).abs(), (near_y + far_y).abs()) < 2.0
    across = (near_x - far_x) * (0.5 * neighbour.grey.size(3))
    down = (near_y - far_y) * (0.5 * neighbour.grey.size(2))
    shift = (across.square() + down.square()).sqrt()
    count = float(seen.sum())
    return float((shift * seen).sum()) / max(count, 1.0), count / float(max(1, seen.numel()))


def correlate(
    reference: Reference,
    neighbour: Neighbour,
    hypotheses: Tensor,
    radius: int = SMALL_RADIUS,
    spacing: int = SPACING,
    unseen: float = UNSEEN,
) -> Tensor:
    """Correlation -1..1 (or `UNSEEN`) float32 [L, h, w] at inverse depths [L, h, w] or [L, 1, 1].

    The mean of the correlations in the small and the large window.
    """
    count = hypotheses.size(0)
    height = neighbour.rays.size(1)
    width = neighbour.rays.size(2)
    z = torch.add(neighbour.rays[2], hypotheses, alpha=neighbour.shift_z)
    inverse = z.clamp_(min=1e-3).reciprocal_()
    x = torch.add(neighbour.rays[0], hypotheses, alpha=neighbour.shift_x).mul_(inverse)
    y = torch.add(neighbour.rays[1], hypotheses, alpha=neighbour.shift_y).mul_(inverse)
    grid = torch.empty([count, height, width, 2], device=hypotheses.device)
    grid[..., 0] = x
    grid[..., 1] = y
    images = neighbour.grey.expand(count, 1, height, width)
    warped = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )[:, 0]
    margin = radius + spacing
    warped = functional.pad(warped, [margin, margin, margin, margin], mode="replicate")
    stack = torch.cat([warped, warped * warped, warped * reference.padded])
    small, large = windows(stack, radius, spacing)
    in_small = float((2 * radius + 1) ** 2)
    score = covariance(small, reference.small_mean, reference.small_scale)
    score.div_(deviations(small[:count], small[count : 2 * count], in_small))
    other = covariance(large, reference.large_mean, reference.large_scale)
    score.addcdiv_(other, deviations(large[:count], large[count : 2 * count], 9.0 * in_small))
    outside = torch.maximum(x.abs_(), y.abs_()) > 1.0
    return score.masked_fill_(outside, unseen)


def covariance(sums: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Scaled covariance, from window sums [3 B, h, w] of the warped image, its square and its
    product with the reference, and from the reference's negated mean and scale [h, w]."""
    count = sums.size(0) // 3
    return torch.addcmul(sums[2 * count :], sums[:count], mean).mul_(scale)


def matching_cost(
    reference: Reference,
    neighbours: list[Neighbour],
    hypotheses: Tensor,
    no_evidence: float = NO_EVIDENCE,
    chunk: int = CHUNK,
) -> Tensor:
    """Cost 0..1 float32 [L, h, w] of each hypothesis: one minus the mean correlation with the best
    two neighbours, so that occlusion in other neighbours does not matter."""
    height = reference.rays.size(1)
    width = reference.rays.size(2)
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
