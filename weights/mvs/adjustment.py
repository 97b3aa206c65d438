"""Joint adjustment of frames that many runs have placed, by the points that they share."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.between import AT_ONCE, adjust_between
from weights.mvs.bundle import Observations, Scene, reprojection
from weights.mvs.calibration import Calibration, hinted_calibration, lens_prior
from weights.mvs.extension import PlacedCameras, unpack_placed
from weights.mvs.fitting import fit_all, observed_by, of_frames, polish
from weights.mvs.intersection import centres_of, residual_lengths, with_points
from weights.mvs.lenses import Lenses, focal_lengths, radial_terms
from weights.mvs.loops import close_loops
from weights.mvs.merging import longest, merge_links, selected
from weights.mvs.pair_agreement import (
    agreement_of_pairs,
    contradicting,
    still_holds,
    without_points_of,
)

PER_FRAME: int = 120
"""Points of each frame that are used at least."""
POLISHED_WITH: int = 400
"""The same for the last step, when the poses are nearly right. It decides how well the directions
between near frames are known."""
FOR_LOOPS: int = 240
"""The same for finding loops."""
MOST_FRAMES: int = 160
"""Frames that are adjusted together, spread over all."""
LEAST_POINTS: int = 20
"""Points that hold a frame."""


def lenses_of_all(
    cameras: PlacedCameras, hints: Tensor, size: Tensor
) -> tuple[Lenses, Calibration]:
    """The lenses of placed frames: one for the frames of a group of `hints` [N, 3] that have the
    same numbers."""
    given = hinted_calibration(hints, size)
    focal = cameras.focal.log()
    key = torch.stack(
        [
            given.group.to(torch.float64),
            (focal * 1e4).round(),
            (cameras.bend * 1e4).round(),
        ],
        dim=1,
    )
    _, group = torch.unique(key, dim=0, return_inverse=True)
    groups = int(group.max()) + 1
    log_focal = torch.zeros(groups, dtype=torch.float64, device=focal.device)
    bend, mean, weight = log_focal.clone(), log_focal.clone(), log_focal.clone()
    log_focal[group] = focal
    bend[group] = cameras.bend
    mean[group] = given.log_focal[given.group]
    weight[group] = given.weight[given.group]
    lenses = Lenses(log_focal, bend, group, given.extent)
    return lenses, Calibration(group, mean, weight, given.extent)


def carried(before: Scene, index: Tensor, after: Scene, factor: Tensor) -> Scene:
    """The scene of all frames after some of them, int64 [n], have moved; `factor` [n] are those of
    their depths. The others move with the nearest of them."""
    frames = before.rotations.size(0)
    order = torch.arange(frames, device=index.device)
    near = (order[:, None] - index[None]).abs().argmin(dim=1)
    old, new = before.rotations[index[near]], after.rotations[near]
    turn = new.transpose(1, 2) @ old
    centres = centres_of(before)
    offset = (turn @ (centres - centres[index[near]])[:, :, None])[:, :, 0]
    moved = centres_of(after)[near] + offset * factor[near][:, None]
    rotations = before.rotations @ turn.transpose(1, 2)
    translations = -(rotations @ moved[:, :, None])[:, :, 0]
    lenses = after.lenses
    of_all = Lenses(lenses.log_focal, lenses.bend, before.lenses.group, lenses.extent)
    return Scene(rotations, translations, of_all, before.points)


class Adjusted(NamedTuple):
    """The cameras of `N` frames after an adjustment."""

    scene: Scene
    factor: Tensor
    """float64 [N], the depths of the frame now, as multiples of those before."""
    adjusted: Tensor
    """bool [N], the frames that were adjusted. The others keep their cameras."""


def spread_out(placed: Tensor, most: int) -> Tensor:
    """int64 [n], at most so many of the frames that are `placed` (bool [N]), evenly spread, with
    the first and the last."""
    index = torch.nonzero(placed)[:, 0]
    if index.size(0) <= most:
        return index
    steps = torch.linspace(0.0, float(index.size(0) - 1), most, dtype=torch.float64)
    return index[steps.round().to(torch.int64).to(index.device)]


def depth_factors(before: Scene, after: Scene, observations: Observations, scale: float) -> Tensor:
    """For each frame the median ratio of the depths of its points after and before, float64 [N]; of
    points that agree with the frame both times. Frames with few have that of all."""
    before, wide_before = with_points(before, observations, scale)
    after, wide_after = with_points(after, observations, scale)
    _, old, _, _ = reprojection(before, observations)
    _, new, _, _ = reprojection(after, observations)
    good = residual_lengths(before, observations) < 3.0 * scale
    good = good & (residual_lengths(after, observations) < 3.0 * scale)
    good = good & (wide_before & wide_after)[observations.point]
    frames = before.rotations.size(0)
    result = torch.ones(frames, dtype=torch.float64, device=old.device)
    if not bool(good.any()):
        return result
    ratio = new[good] / old[good]
    camera = observations.camera[good]
    result = result * ratio.median()
    for i in range(frames):
        own = ratio[camera == i]
        if own.size(0) >= 8:
            result[i] = own.median()
    return result


def adjust_frames(
    links: Tensor,
    cameras: Tensor,
    hints: Tensor,
    size: Tensor,
    threshold: float,
    per_frame: int = PER_FRAME,
    polished_with: int = POLISHED_WITH,
    for_loops: int = FOR_LOOPS,
    most: int = MOST_FRAMES,
    least_points: int = LEAST_POINTS,
    at_once: int = AT_ONCE,
    stop: Tensor | None = None,
) -> Adjusted:
    """Adjust the cameras of all frames: some of them together, and then the others to these.

    Args:
        links: [O, 4], rows of frame, x, y from the image centre, number of the track.
        cameras: [N, 24], rows of the contract's cameras.
        hints: float32 [N, 3] as in the contract.
        size: int64 [2], height and width of the images.
        threshold: Inlier threshold in pixels.
    """
    size = size.to(cameras.device)
    given = unpack_placed(cameras, size)
    frames = cameras.size(0)
    lenses, calibration = lenses_of_all(given, hints, size)
    none = torch.zeros(0, 3, dtype=torch.float64, device=cameras.device)
    before = Scene(given.rotations, given.translations, lenses, none)
    nothing = torch.zeros_like(given.placed)
    if int(given.placed.sum()) < 3:
        return Adjusted(before, torch.ones_like(given.focal), nothing)
    merged = merge_links(links, frames)
    merged = selected(merged, given.placed[merged.camera])
    if merged.point.size(0) == 0:
        return Adjusted(before, torch.ones_like(given.focal), nothing)
    first = int(given.placed.to(torch.int64).argmax())
    index = spread_out(given.placed, most)
    fixed = index == first
    prior = lens_prior(calibration, True, False)
    start = of_frames(before, index)
    of_chosen = observed_by(merged, index, frames)
    pairs = agreement_of_pairs(start, longest(of_chosen, for_loops), 2.0 * threshold)
    # What no pair of frames doubts shows whether frames have been torn off each other.
    undoubted = without_points_of(of_chosen, contradicting(pairs))
    agreed = longest(undoubted, per_frame)
    scene, observations = fit_all(start, agreed, fixed, prior, threshold, stop), undoubted
    if not still_holds(start, scene, agreed, threshold):
        return Adjusted(before, torch.ones_like(given.focal), nothing)
    factor = depth_factors(start, scene, agreed, threshold)
    # All frames have more points on both sides of a loop than those that are adjusted.
    whole = carried(before, index, scene, factor)
    closed, loops = close_loops(whole, longest(merged, for_loops), threshold, first)
    if loops:
        everything = longest(of_chosen, per_frame)
        joined = fit_all(of_frames(closed, index), everything, fixed, prior, threshold, stop)
        if still_holds(scene, joined, agreed, threshold):
            scene, observations = joined, of_chosen
    observations = longest(observations, polished_with)
    scene = polish(scene, observations, fixed, prior, threshold, stop)
    factor = depth_factors(start, scene, observations, threshold)
    whole = carried(before, index, scene, factor)
    own = longest(merged, per_frame)
    whole, held = adjust_between(whole, own, index, threshold, at_once, stop=stop)
    factors = depth_factors(before, whole, own, threshold)
    factors[index] = factor
    # The unit of length stays: nothing else says what it is.
    unit = factor.median()
    # A frame that hardly anything holds moves with those beside it.
    counts = torch.bincount(own.camera, minlength=frames)
    counts[index] = torch.bincount(observations.camera, minlength=index.size(0))
    held[index] = True
    held = held & (counts >= least_points)
    held[first] = True
    centres = centres_of(whole)
    centres = centres[first] + (centres - centres[first]) / unit
    translations = -(whole.rotations @ centres[:, :, None])[:, :, 0]
    moved = Scene(
        torch.where(held[:, None, None], whole.rotations, before.rotations),
        torch.where(held[:, None], translations, before.translations),
        whole.lenses,
        none,
    )
    return Adjusted(moved, torch.where(held, factors / unit, torch.ones_like(factors)), held)


def adjusted_rows(
    links: Tensor,
    cameras: Tensor,
    hints: Tensor,
    size: Tensor,
    threshold: float,
    stop: Tensor | None = None,
) -> Tensor:
    """float32 [N, 25]: rows of the contract's cameras after `adjust_frames`, "registered" meaning
    "adjusted", and the factors of the depths. The rows of links have pixel indices."""
    height, width = float(size[0]), float(size[1])
    centred = links.to(torch.float64).clone()
    centred[:, 1] -= (width - 1.0) / 2.0
    centred[:, 2] -= (height - 1.0) / 2.0
    found = adjust_frames(centred, cameras, hints, size, threshold, stop=stop)
    scene = found.scene
    focal = focal_lengths(scene.lenses)
    bend = scene.lenses.bend[scene.lenses.group]
    rows = cameras.to(torch.float64).clone()
    rows[:, :12] = torch.cat([scene.rotations, scene.translations[:, :, None]], 2).flatten(1)
    rows[:, 12] = focal
    rows[:, 16] = focal
    rows[:, 21] = 1.0
    rows[:, 22:24] = radial_terms(bend, focal, height, width)
    rows = torch.where(found.adjusted[:, None], rows, cameras.to(torch.float64))
    rows[:, 21] = found.adjusted.to(torch.float64)
    return torch.cat([rows, found.factor[:, None]], 1).to(torch.float32)
