"""Reliability of each frame's pose and parallax, from 0 to 1.

It is a product of factors, one for each cause of doubt: too few observations; outlier observations
or pairs of frames that contradict the model; uncertain depths; an uncertain focal length;
correspondences that a homography fits as well as the model (a plane, pure rotation or zoom, almost
static video); and another solution that fits nearly as well. The limits were tuned on procedural
scenes with known cameras and on real photos.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.bundle import Observations, Scene
from weights.mvs.calibration import Calibration, lens_prior
from weights.mvs.completion import model_agreement
from weights.mvs.correspondences import Correspondences
from weights.mvs.growth import Reconstruction
from weights.mvs.tracks import Tracks
from weights.mvs.uncertainty import depth_deviations, focal_deviations, pixel_noise
from weights.mvs.view_graph import ViewGraph

TOO_FEW_MATCHES: int = 1
NO_PARALLAX: int = 3
AMBIGUOUS: int = 5
UNCERTAIN_FOCAL_LENGTH: int = 8
"""Codes of reasons in the contract's report."""


class Reliability(NamedTuple):
    """How far each of `N` frames can be trusted."""

    value: Tensor
    """float32 [N] in 0..1, 0 for frames that are not registered."""
    doubt: Tensor
    """int64 [N], code of the cause that lowers it most."""
    focal: Tensor
    """float64 [N], standard deviation of the log of the focal length."""
    depth: Tensor
    """float64 [N], median relative standard deviation of depth; -1 without points."""


def ramp(values: Tensor, zero: float, one: float) -> Tensor:
    """0 up to `zero`, 1 from `one`, linear between; `one` may be the smaller."""
    return ((values - zero) / (one - zero)).clamp(0.0, 1.0)


def share_by_frame(table: Correspondences, part: Tensor, whole: Tensor, frames: int) -> Tensor:
    """For each frame, the share of `whole` (bool [P, M]) in all its pairs that is in `part`."""
    some, every = (part & whole).sum(1), whole.sum(1)
    counts = torch.zeros(2, frames, dtype=torch.float64, device=part.device)
    for side in [table.first, table.second]:
        counts[0].index_add_(0, side, some.to(torch.float64))
        counts[1].index_add_(0, side, every.to(torch.float64))
    return counts[0] / counts[1].clamp(min=1.0)


def relief_share(table: Correspondences, graph: ViewGraph) -> Tensor:
    """Share of the inliers that no homography explains, over pairs with parallax, float64 []."""
    inliers = graph.inliers.sum(1).to(torch.float64).clamp(min=1.0)
    matched = table.valid.sum(1).to(torch.float64).clamp(min=1.0)
    weights = graph.parallax * (inliers / matched).square()
    return (weights * graph.relief / inliers).sum() / weights.sum().clamp(min=1e-9)


class Measured(NamedTuple):
    """The inlier observations of a reconstruction."""

    scene: Scene
    """With the observed points only."""
    observations: Observations
    seen: Tensor
    """bool [T, N]."""
    noise: Tensor
    """float64 [], standard deviation of a coordinate in pixels."""


def measure(model: Reconstruction, tracks: Tracks, visible: Tensor) -> Measured:
    """The observations `visible` bool [T, N] of points that at least two frames see."""
    rows = torch.nonzero(visible.sum(1) >= 2)[:, 0]
    seen = visible[rows]
    point, camera = torch.nonzero(seen).unbind(1)
    observations = Observations(camera, point, tracks.pixels[rows][point, camera])
    scene = Scene(
        model.scene.rotations,
        model.scene.translations,
        model.scene.lenses,
        model.scene.points[rows],
    )
    return Measured(scene, observations, seen, pixel_noise(scene, observations))


def focal_uncertainty(
    model: Reconstruction, tracks: Tracks, visible: Tensor, calibration: Calibration
) -> Tensor:
    """Standard deviation of the log of each frame's focal length, float64 [N]."""
    measured = measure(model, tracks, visible)
    fixed = ~model.registered | model.fixed
    lenses = model.scene.lenses
    prior = lens_prior(calibration, True, bool((lenses.bend != 0.0).any()))
    deviations = focal_deviations(
        measured.scene, measured.observations, fixed, measured.noise, prior
    )
    return deviations[lenses.group]


def frame_reliability(
    model: Reconstruction,
    tracks: Tracks,
    visible: Tensor,
    table: Correspondences,
    graph: ViewGraph,
    rival: Tensor,
    calibration: Calibration,
    threshold: float,
    few: int = TOO_FEW_MATCHES,
    shallow: int = NO_PARALLAX,
    unclear: int = AMBIGUOUS,
    focal_unclear: int = UNCERTAIN_FOCAL_LENGTH,
) -> Reliability:
    """The reliability of each frame.

    `visible` bool [T, N] are the inlier observations. `rival` float64 [N] is the score of the best
    solution that places a frame differently, relative to this one.
    """
    frames = tracks.observed.size(1)
    measured = measure(model, tracks, visible)
    seen = measured.seen
    deviations = depth_deviations(measured.scene, measured.observations, measured.noise)
    focal = focal_uncertainty(model, tracks, visible, calibration)

    observed = (tracks.observed & model.registered[None]).sum(0).to(torch.float64)
    counted = seen.sum(0).to(torch.float64)
    precise = ((deviations < 0.1) & seen).sum(0) / counted.clamp(min=1.0)
    both = (model.registered[table.first] & model.registered[table.second])[:, None]
    agrees = model_agreement(model, table, 2.0 * threshold)
    consistent = share_by_frame(table, agrees, graph.inliers & both, frames)
    distinctive = (table.ratio < 0.8) & table.valid & both
    matched = share_by_frame(table, agrees, distinctive, frames)

    relief = relief_share(table, graph)
    typical = deviations[seen].median()
    # A plane seen from distant viewpoints is reliable: focal length and depths are well determined.
    settled = ramp(focal, 0.02, 0.008) * ramp(typical, 0.02, 0.01)
    flatness = torch.maximum(ramp(relief, 0.04, 0.09), settled)
    certain = ramp(focal.clamp(min=1e-6).log(), math.log(0.2), math.log(0.04))
    factors = torch.stack(
        [
            ramp(counted, 15.0, 50.0),
            ramp(counted / observed.clamp(min=1.0), 0.45, 0.8),
            ramp(precise, 0.25, 0.6),
            ramp(consistent, 0.7, 0.95),
            ramp(matched, 0.5, 0.8),
            flatness,
            certain,
            ramp(rival, 0.97, 0.85),
        ]
    )
    factors = torch.nan_to_num(factors, 0.0, 0.0, 0.0)
    causes = torch.tensor(
        [few, unclear, shallow, unclear, unclear, shallow, focal_unclear, unclear],
        device=factors.device,
    )
    gaps = torch.full_like(deviations, float("nan"))
    depth = torch.where(seen, deviations, gaps).nanmedian(dim=0).values
    return Reliability(
        value=(factors.prod(dim=0) * model.registered).to(torch.float32),
        doubt=causes[factors.argmin(dim=0)],
        focal=focal,
        depth=torch.nan_to_num(depth, -1.0),
    )
