"""How far pairs of frames agree with each other: whether the features that they share fit the
epipolar geometry of their cameras."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.bundle import Observations, Scene, observation_pairs
from weights.mvs.epipolar import fundamental_of, sampson_residuals
from weights.mvs.lenses import focal_lengths, straight
from weights.mvs.merging import selected

LEAST_SHARED: int = 20
"""Points that two frames must share to hold each other."""
AGREEING: float = 0.7
"""Share of their points from which two frames agree."""
CONTRADICTING: float = 0.5
"""Share of their points below which two frames contradict each other."""
HELD: float = 0.9
"""Share of the points from which frames agreed before a loop was closed that must hold after it. A
place that only looks like another one bends the frames in between until they disagree."""
HELD_OF_FRAME: float = 0.6
"""The same for each frame: it may not be torn off those beside it."""
MOST_PAIRS: int = 40
"""Pairs of frames that are aligned."""


class Pairs(NamedTuple):
    """How far the frames agree with each other."""

    shared: Tensor
    """int64 [N, N], points that two frames share."""
    agreeing: Tensor
    """int64 [N, N], those that agree with their cameras."""


def agreement_of_pairs(scene: Scene, observations: Observations, threshold: float) -> Pairs:
    """Compare the observations of all pairs of frames with the epipolar geometry of their
    cameras."""
    frames = scene.rotations.size(0)
    free = torch.zeros(frames, dtype=torch.bool, device=observations.camera.device)
    one, two = observation_pairs(observations, free)
    camera = observations.camera
    lenses = scene.lenses
    ideal = straight(observations.pixels, lenses.bend[lenses.group[camera]], lenses.extent)
    rays = ideal / focal_lengths(lenses)[camera][:, None]
    swap = camera[one] > camera[two]
    first, second = torch.where(swap, two, one), torch.where(swap, one, two)
    place = camera[first] * frames + camera[second]
    places, index = torch.unique(place, return_inverse=True)
    left, right = torch.div(places, frames, rounding_mode="floor"), places % frames
    rotations = scene.rotations[right] @ scene.rotations[left].transpose(1, 2)
    baselines = (
        scene.translations[right] - (rotations @ scene.translations[left][:, :, None])[:, :, 0]
    )
    length = baselines.square().sum(1, keepdim=True).sqrt().clamp(min=1e-9)
    essential = fundamental_of(rotations, baselines / length, torch.zeros_like(length[0, 0]))
    off = torch.zeros(first.size(0), dtype=torch.float64, device=camera.device)
    begin, at_once = 0, 100000
    while begin < first.size(0):
        end = min(begin + at_once, first.size(0))
        residuals, _, _ = sampson_residuals(
            essential[index[begin:end]],
            rays[first[begin:end]][:, None],
            rays[second[begin:end]][:, None],
        )
        off[begin:end] = residuals[:, 0].abs()
        begin = end
    focal = focal_lengths(lenses)
    limit = threshold / torch.minimum(focal[left], focal[right])
    agree = off < limit[index]
    shared = torch.bincount(place, minlength=frames * frames).reshape(frames, frames)
    agreeing = torch.bincount(place[agree], minlength=frames * frames).reshape(frames, frames)
    return Pairs(shared + shared.t(), agreeing + agreeing.t())


def contradicting(
    pairs: Pairs, least: int = LEAST_SHARED, contradicting: float = CONTRADICTING
) -> Tensor:
    """bool [N, N], pairs of frames that contradict each other."""
    shared = pairs.shared.to(torch.float64)
    return (pairs.shared >= least) & (pairs.agreeing < contradicting * shared)


def strongest(pairs: Pairs, against: Tensor, most: int = MOST_PAIRS) -> list[tuple[int, int]]:
    """Some of the pairs of frames `against` [N, N], those that share most points."""
    rows = torch.nonzero(against.triu(1))
    order = torch.argsort(pairs.shared[rows[:, 0], rows[:, 1]], descending=True, stable=True)
    found: list[tuple[int, int]] = []
    for k in range(min(most, order.size(0))):
        found.append((int(rows[order[k], 0]), int(rows[order[k], 1])))
    return found


def without_points_of(observations: Observations, against: Tensor) -> Observations:
    """The observations of points that no pair of frames `against` (bool [N, N]) has."""
    nowhere = torch.zeros(against.size(0), dtype=torch.bool, device=against.device)
    one, two = observation_pairs(observations, nowhere)
    bad = against[observations.camera[one], observations.camera[two]]
    doubtful = torch.zeros_like(observations.point)
    doubtful[observations.point[one[bad]]] = 1
    return selected(observations, doubtful[observations.point] == 0)


def holding(pairs: Pairs, least: int = LEAST_SHARED, agreeing: float = AGREEING) -> Tensor:
    """bool [N, N], pairs of frames that agree with each other."""
    shared = pairs.shared.to(torch.float64)
    return (pairs.shared >= least) & (pairs.agreeing >= agreeing * shared)


def still_holds(
    before: Scene,
    after: Scene,
    observations: Observations,
    threshold: float,
    held: float = HELD,
    of_frame: float = HELD_OF_FRAME,
    least: int = LEAST_SHARED,
) -> bool:
    """Whether the frames that agreed with each other still do."""
    old = agreement_of_pairs(before, observations, 2.0 * threshold)
    new = agreement_of_pairs(after, observations, 2.0 * threshold)
    # However many others contradict: those are what is in doubt.
    agree = old.agreeing >= least
    agreed = (old.agreeing * agree).sum(1).to(torch.float64)
    agreeing = (new.agreeing * agree).sum(1).to(torch.float64)
    return bool((agreeing >= of_frame * agreed).all()) and float(agreeing.sum()) >= held * float(
        agreed.sum()
    )
