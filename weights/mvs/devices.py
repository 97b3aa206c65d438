"""Frames of several lenses: found by the focal length that each frame has if it is free.

Before, all frames share one focal length, and cameras of another one stand too near or too far.
That is close enough for a bundle adjustment with one focal length for each frame.
"""

import torch
from torch import Tensor

from weights.mvs.bundle import LensPrior, Scene
from weights.mvs.calibration import NOISE, Calibration
from weights.mvs.growth import Reconstruction, agreement, bundle
from weights.mvs.lenses import Lenses
from weights.mvs.tracks import Tracks

GAP: float = 0.1
"""Difference between logs of focal lengths from which lenses are different."""
LEAST_GAIN: float = 1.1
"""Least agreement with a focal length for each frame, relative to that with one for all."""


def clusters(values: Tensor, gap: float) -> Tensor:
    """Number of the cluster of each value, int64 [N], ascending; clusters are `gap` apart."""
    order = torch.argsort(values, stable=True)
    steps = values[order].diff() > gap
    numbers = torch.zeros_like(order)
    numbers[order[1:]] = steps.cumsum(0)
    return numbers


def with_devices(
    model: Reconstruction,
    tracks: Tracks,
    calibration: Calibration,
    threshold: float,
    gap: float = GAP,
    least_gain: float = LEAST_GAIN,
    noise: float = NOISE,
    stop: Tensor | None = None,
) -> Calibration:
    """The calibration with a group for each lens that shows; as given if the frames fit one."""
    frames = model.registered.size(0)
    if calibration.log_focal.size(0) > 1 or int(model.registered.sum()) < 4:
        return calibration
    scene = model.scene
    lenses = scene.lenses
    own = Lenses(
        log_focal=lenses.log_focal[lenses.group],
        bend=lenses.bend[lenses.group],
        group=torch.arange(frames, device=lenses.group.device),
        extent=lenses.extent,
    )
    free = Reconstruction(
        Scene(scene.rotations, scene.translations, own, scene.points),
        model.registered,
        model.known,
        model.fixed,
    )
    weight = (calibration.weight * noise * noise).expand(frames)
    prior = LensPrior(calibration.log_focal.expand(frames), weight, torch.zeros_like(weight))
    free = bundle(free, tracks, prior, 2.0 * threshold, 2.0 * threshold, 30, 1e-3, stop)
    gain = agreement(free, tracks, 0.5 * threshold)
    if gain < least_gain * agreement(model, tracks, 0.5 * threshold):
        return calibration
    found = free.scene.lenses.log_focal
    index = torch.nonzero(model.registered)[:, 0]
    numbers = clusters(found[index], gap)
    groups = int(numbers.max()) + 1
    if groups == 1:
        return calibration
    means: list[Tensor] = []
    for number in range(groups):
        means.append(found[index[numbers == number]].median())
    # A frame without a pose could be of any lens: that of most frames.
    most = int(torch.bincount(numbers).argmax())
    group = torch.full_like(calibration.group, most)
    group[index] = numbers
    return Calibration(
        group=group,
        log_focal=torch.stack(means),
        weight=calibration.weight.expand(groups),
        extent=calibration.extent,
    )
