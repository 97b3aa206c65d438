"""Plane sweep: matching cost of each pixel's depth hypotheses by correlation.

Every pixel has its own depth hypotheses. Each pixel of a window is warped with its own hypothesis
before the comparison, so on an approximately correct base surface the windows follow its slant
(compare the plane-sweeping stereo with slanted windows of Gallup et al., CVPR 2007).

Most hypotheses are compared in images whose contrast was made even before the sweep, which needs a
third of the time of a normalised cross-correlation: the normalisation is not repeated for every
hypothesis. It is less precise on smooth texture, so the last comparison is a normalised one.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.box import box_mean, running_sum

SMALL_RADIUS: int = 2
"""Half the side of the small correlation window."""
SPACING: int = 3
"""Spacing in pixels of the 3x3 small windows that form the large window (11x11, tapered)."""
EVEN_RADIUS: int = 2
"""Half the side of the window in which the contrast is made even."""
LEAST_ENERGY: float = 0.8
"""Mean square in a window of an image with even contrast, below which its weight decreases."""
NOISE: float = 6e-5
"""Noise variance of grey values in 0..1, added to the variances of windows."""
LEAST_SHARE: float = 0.2
"""Variance in 3x3 pixels relative to that of the window, below which the weight of the window
decreases."""
UNSEEN: float = -2.0
"""Marks a correlation outside a neighbour's image."""
NO_EVIDENCE: float = 0.9
"""Cost of a point that no neighbour sees."""
CHUNK: int = 60000
"""Pixels per pass, chosen so that intermediate images stay in the cache."""


class Reference(NamedTuple):
    """An image [h, w] and what else its correlation with others needs."""

    grey: Tensor
    image: Tensor
    """[h, w], `grey`, with even contrast unless `exact`."""
    small_mean: Tensor
    """[h, w], the negated mean of `image` in the small window."""
    small_scale: Tensor
    """[h, w], the small window's weight divided by the mean square or, if `exact`, by the standard
    deviation of `image` in it."""
    large_mean: Tensor
    large_scale: Tensor
    rays: Tensor
    """[3, h, w], with z = 1"""
    centre_x: float
    centre_y: float
    exact: bool
    """Whether windows are normalised after the warp."""


class Neighbour(NamedTuple):
    """An image and its camera relative to the reference."""

    image: Tensor
    """[1, 1, h, w], as that of the reference."""
    rays: Tensor
    """[3, h, w], the rays of the reference rotated into this camera, in units in which its image is
    -1..1: a point at inverse depth q projects to (x + q tx, y + q ty) / (z + q tz)."""
    shift_x: float
    shift_y: float
    shift_z: float


def windows(
    images: Tensor, radius: int = SMALL_RADIUS, spacing: int = SPACING
) -> tuple[Tensor, Tensor]:
    """Means over the small and the large windows of `images` [B, h, w], both [B, h, w]; edges
    repeated."""
    margin = radius + spacing
    side = 2 * radius + 1
    padded = functional.pad(images, [margin, margin, margin, margin], mode="replicate")
    small = running_sum(running_sum(padded, side, 2), side, 1).mul_(1.0 / (side * side))
    height = images.size(1)
    width = images.size(2)
    across = small[:, :, :width] + small[:, :, spacing : spacing + width]
    across.add_(small[:, :, 2 * spacing :])
    large = across[:, :height] + across[:, spacing : spacing + height]
    large.add_(across[:, 2 * spacing :]).mul_(1.0 / 9.0)
    return small[:, spacing : spacing + height, spacing : spacing + width], large


def even_contrast(grey: Tensor, radius: int = EVEN_RADIUS, noise: float = NOISE) -> Tensor:
    """Images [B, h, w] minus their local mean, divided by their local standard deviation."""
    mean = box_mean(grey, radius)
    variance = box_mean(grey * grey, radius).addcmul_(mean, mean, value=-1.0)
    return (grey - mean).mul_(variance.clamp_(min=0.0).add_(noise).rsqrt_())


def make_reference(
    grey: Tensor,
    image: Tensor,
    exact: bool,
    focal: float,
    centre_x: float,
    centre_y: float,
    least_energy: float = LEAST_ENERGY,
    least_share: float = LEAST_SHARE,
    noise: float = NOISE,
) -> Reference:
    """Precompute the reference values of an image [h, w], which is `grey` itself or has
    `even_contrast`."""
    height = grey.size(0)
    width = grey.size(1)
    both = torch.stack([image, image * image])
    small, large = windows(both)
    if exact:
        tiny = box_mean(both, 1)
        in_tiny = (tiny[1] - tiny[0] * tiny[0]).add_(noise)
        in_small = (small[1] - small[0] * small[0]).clamp_(min=0.0).add_(noise)
        in_large = (large[1] - large[0] * large[0]).clamp_(min=0.0).add_(noise)
        # Reduce the weight of a window whose texture is beside the pixel and not around it.
        small_weight = (in_tiny / in_small).mul_(0.5 / least_share).clamp_(max=0.5)
        large_weight = (in_small / in_large).mul_(0.5 / least_share).clamp_(max=0.5)
        small_scale = small_weight * in_small.rsqrt_()
        large_scale = large_weight * in_large.rsqrt_()
    else:
        small_scale = 0.5 / small[1].clamp(min=least_energy)
        large_scale = 0.5 / large[1].clamp(min=least_energy)
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
        grey, image, -small[0], small_scale, -large[0], large_scale, rays, centre_x, centre_y, exact
    )


def make_neighbour(
    reference: Reference, image: Tensor, focal: float, rotation: Tensor, translation: Tensor
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
    to_x = 2.0 / image.size(1)
    to_y = 2.0 / image.size(0)
    shift_x = focal * step[0] + reference.centre_x * step[2]
    shift_y = focal * step[1] + reference.centre_y * step[2]
    return Neighbour(
        image[None, None],
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
    across = (near_x - far_x) * (0.5 * neighbour.image.size(3))
    down = (near_y - far_y) * (0.5 * neighbour.image.size(2))
    shift = (across.square() + down.square()).sqrt()
    count = float(seen.sum())
    return float((shift * seen).sum()) / max(count, 1.0), count / float(max(1, seen.numel()))


def normalised(means: Tensor, other_mean: Tensor, noise: float = NOISE) -> Tensor:
    """Covariance of an image and another one, divided by the standard deviation of the image: from
    the means [3 B, h, w] of the image, its square and its product with the other one, and from the
    other one's negated mean [h, w]."""
    count = means.size(0) // 3
    mean = means[:count]
    variance = torch.addcmul(means[count : 2 * count], mean, mean, value=-1.0)
    covariance = torch.addcmul(means[2 * count :], mean, other_mean)
    return covariance.mul_(variance.clamp_(min=0.0).add_(noise).rsqrt_())


def correlate(
    reference: Reference,
    neighbour: Neighbour,
    hypotheses: Tensor,
) -> Tensor:
    """Correlation -1..1 (or about `UNSEEN`) float32 [L, h, w] at inverse depths [L, h, w] or
    [L, 1, 1]."""
    count = hypotheses.size(0)
    height = neighbour.rays.size(1)
    width = neighbour.rays.size(2)
    grid = torch.empty([count, height, width, 2], device=hypotheses.device)
    z = torch.add(neighbour.rays[2], hypotheses, alpha=neighbour.shift_z)
    inverse = z.clamp_(min=1e-3).reciprocal_()
    x = torch.add(neighbour.rays[0], hypotheses, alpha=neighbour.shift_x).mul_(inverse)
    y = torch.add(neighbour.rays[1], hypotheses, alpha=neighbour.shift_y).mul_(inverse)
    grid[..., 0] = x
    grid[..., 1] = y
    images = neighbour.image.expand(count, 1, height, width)
    warped = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )[:, 0]
    if reference.exact:
        warped = torch.cat([warped, warped * warped, warped * reference.image])
        small, large = windows(warped)
        score = normalised(small, reference.small_mean).mul_(reference.small_scale)
        score.addcmul_(normalised(large, reference.large_mean), reference.large_scale)
    else:
        small, large = windows(warped.mul_(reference.image))
        score = (small * reference.small_scale).addcmul_(large, reference.large_scale)
    # Arithmetic instead of a mask, which is much slower on the CPU.
    outside = torch.maximum(x.abs_(), y.abs_()).sub_(1.0).mul_(1e6).clamp_(0.0, 4.0)
    return score.clamp_(-1.0, 1.0).sub_(outside)


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
