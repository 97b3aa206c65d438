"""Adjusts the frames between those that were adjusted together.

The frames of a long map are too many for one system of equations. Those that are spread over it
were adjusted together and stay; the others follow in parts, each held by the ones that stay.
"""

import torch
from torch import Tensor

from weights.mvs.bundle import LensPrior, Observations, Scene
from weights.mvs.fitting import fit, observed_by, of_frames
from weights.mvs.merging import selected
from weights.mvs.pair_agreement import still_holds

AT_ONCE: int = 48
"""Frames of a part."""
HOLDING: int = 48
"""Frames that hold a part: those that see most of its points."""


def fixed_lenses(scene: Scene) -> LensPrior:
    """The lenses stay as they are."""
    log_focal = scene.lenses.log_focal
    nothing = torch.zeros_like(log_focal)
    return LensPrior(log_focal, nothing, nothing)


def holding(seen: Tensor, observations: Observations, stays: Tensor, most: int) -> Tensor:
    """bool [N], those of the frames that stay (bool [N]) which see most of the points `seen` (bool
    [O], of each observation)."""
    counts = torch.bincount(observations.camera[seen], minlength=stays.size(0))
    counts, index = torch.where(stays, counts, torch.zeros_like(counts)).topk(
        min(most, stays.size(0))
    )
    held = torch.zeros_like(stays)
    held[index[counts > 0]] = True
    return held


def adjust_between(
    scene: Scene,
    observations: Observations,
    index: Tensor,
    threshold: float,
    at_once: int = AT_ONCE,
    most: int = HOLDING,
    stop: Tensor | None = None,
) -> tuple[Scene, Tensor]:
    """The scene after the frames that `index` int64 [n] does not have were adjusted to those that
    it has, and which frames these were, bool [N].

    Args:
        scene: All frames, each about where it belongs.
        observations: Of all frames.
        index: Frames that stay.
        threshold: Inlier threshold in pixels.
        at_once: Frames that are adjusted together.
        most: Frames that hold them.
        stop: See `stopping.check`.
    """
    frames = scene.rotations.size(0)
    stays = torch.zeros(frames, dtype=torch.bool, device=index.device)
    stays[index] = True
    adjusted = torch.zeros_like(stays)
    rest = torch.unique(observations.camera[~stays[observations.camera]])
    rotations, translations = scene.rotations.clone(), scene.translations.clone()
    prior = fixed_lenses(scene)
    begin = 0
    while begin < rest.size(0):
        part = torch.zeros_like(stays)
        part[rest[begin : begin + at_once]] = True
        begin += at_once
        of_points = torch.zeros_like(observations.point)
        of_points[observations.point[part[observations.camera]]] = 1
        seen = of_points[observations.point] > 0
        used = part | holding(seen, observations, stays, most)
        of_part = selected(observations, seen & used[observations.camera])
        cameras = torch.unique(of_part.camera)
        fixed = stays[cameras]
        if not bool(fixed.any()):
            continue
        own = observed_by(of_part, cameras, frames)
        start = of_frames(scene, cameras)
        found = fit(start, own, fixed, prior, 4.0 * threshold, 10, 1e-3, stop)
        found = fit(found, own, fixed, prior, 0.5 * threshold, 10, 1e-4, stop)
        if still_holds(start, found, own, threshold):
            rotations[cameras] = found.rotations
            translations[cameras] = found.translations
            adjusted[cameras[~fixed]] = True
    return Scene(rotations, translations, scene.lenses, scene.points), adjusted
