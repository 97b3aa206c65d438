"""Cameras and points fitted to observations that are partly wrong."""

import torch
from torch import Tensor

from weights.mvs.bundle import LensPrior, Observations, Scene, adjust
from weights.mvs.intersection import residual_lengths, with_points
from weights.mvs.lenses import Lenses
from weights.mvs.merging import selected
from weights.mvs.pair_agreement import still_holds


def fit(
    scene: Scene,
    observations: Observations,
    fixed: Tensor,
    prior: LensPrior,
    scale: float,
    iterations: int,
    settled: float,
    stop: Tensor | None = None,
) -> Scene:
    """The scene after an adjustment to the observations that agree within about `scale` pixels."""
    scene, wide = with_points(scene, observations, scale)
    errors = residual_lengths(scene, observations)
    used = selected(observations, wide[observations.point] & (errors < 4.0 * scale))
    if used.point.size(0) < 20:
        return scene
    start, _ = with_points(scene, used, scale)
    return adjust(start, used, fixed, prior, scale, iterations, settled, stop=stop)


def fit_all(
    scene: Scene,
    observations: Observations,
    fixed: Tensor,
    prior: LensPrior,
    threshold: float,
    stop: Tensor | None = None,
) -> Scene:
    """`fit` in several steps: loose at first, while poses are wrong."""
    scene = fit(scene, observations, fixed, prior, 16.0 * threshold, 20, 1e-3, stop)
    scene = fit(scene, observations, fixed, prior, 4.0 * threshold, 20, 1e-3, stop)
    scene = fit(scene, observations, fixed, prior, threshold, 20, 1e-4, stop)
    return fit(scene, observations, fixed, prior, 0.5 * threshold, 20, 1e-4, stop)


def polish(
    scene: Scene,
    observations: Observations,
    fixed: Tensor,
    prior: LensPrior,
    threshold: float,
    stop: Tensor | None = None,
) -> Scene:
    """The strictest `fit`, unless it tears frames off each other."""
    polished = fit(scene, observations, fixed, prior, 0.25 * threshold, 20, 1e-4, stop)
    return polished if still_holds(scene, polished, observations, threshold) else scene


def of_frames(scene: Scene, index: Tensor) -> Scene:
    """The scene of some of its frames, int64 [n], without points."""
    lenses = scene.lenses
    return Scene(
        scene.rotations[index],
        scene.translations[index],
        Lenses(lenses.log_focal, lenses.bend, lenses.group[index], lenses.extent),
        scene.points[:0],
    )


def observed_by(observations: Observations, index: Tensor, frames: int) -> Observations:
    """The observations of some of the frames, int64 [n], which are numbered anew."""
    number = torch.full([frames], -1, dtype=torch.int64, device=index.device)
    number[index] = torch.arange(index.size(0), device=index.device)
    camera = number[observations.camera]
    kept = camera >= 0
    moved = Observations(camera, observations.point, observations.pixels)
    return selected(moved, kept)
