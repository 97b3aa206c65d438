"""What is known about the lenses before a reconstruction."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.bundle import LensPrior
from weights.mvs.lenses import Lenses

FOCAL_DEVIATION: float = 0.32
"""Standard deviation of the log of an unknown focal length. The mean is a field of view of 53
degrees along the longer side; 30 to 80 degrees are within two standard deviations."""
BEND_DEVIATION: float = 0.1
NOISE: float = 0.5
"""Standard deviation of an observation in pixels, which weighs the prior against observations."""


class Calibration(NamedTuple):
    """Groups of frames with one lens each, and the prior of each group's focal length."""

    group: Tensor
    """int64 [N], 0 to G - 1."""
    log_focal: Tensor
    """float64 [G], mean of the log of the focal length in pixels."""
    weight: Tensor
    """float64 [G], its inverse variance."""
    extent: float
    """Longer side of the images in pixels."""


class FocalPrior(NamedTuple):
    """Prior of the log of one focal length."""

    mean: Tensor
    """float64 []."""
    weight: Tensor
    """float64 [], inverse variance."""


def unknown_calibration(
    frames: int, size: Tensor, deviation: float = FOCAL_DEVIATION
) -> Calibration:
    """One lens for all frames, of which nothing is known."""
    extent = size.max().to(torch.float64)
    return Calibration(
        group=torch.zeros(frames, dtype=torch.int64, device=size.device),
        log_focal=extent.log()[None],
        weight=torch.full_like(extent, 1.0 / (deviation * deviation))[None],
        extent=float(extent),
    )


def hinted_calibration(hints: Tensor, size: Tensor) -> Calibration:
    """From rows [N, 3] of hints: group, focal length in pixels (0 if unknown), relative deviation.

    The frames with a focal length decide for their group, by their mean. Groups without one become
    one group: photos of many sizes may be of one camera, and the geometry tells several lenses
    apart better than a lens of its own for each photo would.
    """
    size = size.to(hints.device)
    unknown = unknown_calibration(hints.size(0), size)
    focal = hints[:, 1].to(torch.float64)
    deviation = hints[:, 2].to(torch.float64).clamp(min=0.01)
    known = (focal > 0.05 * unknown.extent) & (focal < 20.0 * unknown.extent)
    _, given = torch.unique(hints[:, 0], return_inverse=True)
    informed = (torch.bincount(given, known.to(torch.float64)) > 0.0)[given]
    _, group = torch.unique(torch.where(informed, given, -1), return_inverse=True)
    groups = int(group.max()) + 1
    counts = torch.zeros(groups, dtype=torch.float64, device=size.device)
    counts = counts.index_add(0, group, known.to(torch.float64))
    total = torch.zeros_like(counts)
    total = total.index_add(0, group, torch.where(known, focal.clamp(min=1e-3).log(), 0.0))
    spread = torch.zeros_like(counts)
    spread = spread.index_add(0, group, torch.where(known, deviation, 0.0))
    none = counts == 0
    share = counts.clamp(min=1.0)
    return Calibration(
        group=group,
        log_focal=torch.where(none, unknown.log_focal, total / share),
        weight=torch.where(none, unknown.weight, (spread / share).clamp(min=0.01).pow(-2)),
        extent=unknown.extent,
    )


def reordered(calibration: Calibration, order: Tensor) -> Calibration:
    """The calibration of the frames in another order, with the groups numbered as they come."""
    group = calibration.group[order]
    place = torch.arange(group.size(0), device=group.device)
    first = torch.full_like(calibration.log_focal, group.size(0), dtype=torch.int64)
    rank = torch.argsort(first.scatter_reduce(0, group, place, "amin"))
    return Calibration(
        group=torch.argsort(rank)[group],
        log_focal=calibration.log_focal[rank],
        weight=calibration.weight[rank],
        extent=calibration.extent,
    )


def focal_prior(calibration: Calibration) -> FocalPrior:
    """The prior of group 0."""
    return FocalPrior(calibration.log_focal[0], calibration.weight[0])


def lens_prior(
    calibration: Calibration,
    focal_is_free: bool,
    bend_is_free: bool,
    noise: float = NOISE,
    bend_deviation: float = BEND_DEVIATION,
) -> LensPrior:
    """The prior of all groups, in squared pixels."""
    weight = calibration.weight * (noise * noise)
    bend = torch.full_like(weight, (noise / bend_deviation) ** 2)
    return LensPrior(
        log_focal=calibration.log_focal,
        focal_weight=weight if focal_is_free else torch.zeros_like(weight),
        bend_weight=bend if bend_is_free else torch.zeros_like(weight),
    )


def starting_lenses(calibration: Calibration, log_focal: Tensor) -> Lenses:
    """Lenses without distortion for a log of the focal length [] of group 0; the other groups
    differ from it as the priors do."""
    return Lenses(
        log_focal=calibration.log_focal - calibration.log_focal[0] + log_focal,
        bend=torch.zeros_like(calibration.log_focal),
        group=calibration.group,
        extent=calibration.extent,
    )
