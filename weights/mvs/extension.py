"""Extension: new frames are placed against frames whose cameras are known already.

The placed frames hold the coordinates, the unit of length and the lenses. Points are triangulated
from the features that new frames share with them, so that placed frames need not be matched with
each other again.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.bundle import LensPrior, Scene
from weights.mvs.calibration import Calibration, FocalPrior, hinted_calibration, lens_prior
from weights.mvs.completion import model_agreement
from weights.mvs.correspondences import for_one_lens, match_pairs
from weights.mvs.features import unpack_features
from weights.mvs.geometry import nearest_registered
from weights.mvs.growth import (
    Reconstruction,
    add_points,
    bundle,
    inlier_observations,
    register_all,
)
from weights.mvs.interface import SparseModel
from weights.mvs.lenses import Lenses, bend_of_terms, focal_lengths
from weights.mvs.links import no_links, pack_links, verified
from weights.mvs.overlap import pairs_with_new, shared_with
from weights.mvs.reliability import frame_reliability
from weights.mvs.report import frame_report, unknown_report, unsolved_report
from weights.mvs.tracks import Tracks, build_tracks
from weights.mvs.view_graph import build_view_graph

KNOWN_LENS: float = 1e6
"""Inverse variance of the log of a focal length that does not change."""
LEAST_ANGLE: float = math.radians(0.7)
"""Least angle in radians between the rays to a point."""


class PlacedCameras(NamedTuple):
    """What is known about `N` frames, of which some are placed."""

    placed: Tensor
    """bool [N]."""
    rotations: Tensor
    """float64 [N, 3, 3], world to camera; meaningless for new frames, like what follows."""
    translations: Tensor
    """float64 [N, 3]."""
    focal: Tensor
    """float64 [N], in pixels."""
    bend: Tensor
    """float64 [N], as in `lenses.py`."""


def unpack_placed(cameras: Tensor, size: Tensor) -> PlacedCameras:
    """From rows [N, 24] of the contract's cameras, "registered" meaning "placed"."""
    rows = cameras.to(torch.float64)
    placed = rows[:, 21] > 0.5
    extrinsics = rows[:, :12].reshape(-1, 3, 4)
    focal = torch.where(placed, rows[:, 12], torch.ones_like(rows[:, 12])).clamp(min=1.0)
    return PlacedCameras(
        placed=placed,
        rotations=extrinsics[:, :, :3].contiguous(),
        translations=extrinsics[:, :, 3].contiguous(),
        focal=focal,
        bend=bend_of_terms(rows[:, 22:24], focal, float(size[0]), float(size[1])),
    )


class KnownLenses(NamedTuple):
    """The lenses of all frames: those of the placed frames, and those that only new frames have."""

    lenses: Lenses
    calibration: Calibration
    prior: LensPrior
    """Keeps the lenses of the placed frames."""
    of_two: LensPrior
    """Keeps all."""


def lenses_of(
    cameras: PlacedCameras,
    shared: Tensor,
    hints: Tensor,
    size: Tensor,
    known_weight: float = KNOWN_LENS,
) -> KnownLenses:
    """The lens of each frame. A new frame has that of the placed frame of its group (by `hints`
    [N, 3]) with which it shares most features, `shared` int64 [N, N]; without a placed frame in its
    group, one of its own group."""
    given = hinted_calibration(hints, size)
    placed = cameras.placed
    same = (given.group[:, None] == given.group[None]) & placed[None]
    worth = torch.where(same, shared + 1, torch.zeros_like(shared))
    most, partner = worth.max(dim=1)
    own = torch.arange(placed.size(0), device=placed.device)
    source = torch.where(placed, own, torch.where(most > 0, partner, torch.full_like(own, -1)))
    fresh = source < 0
    focal = cameras.focal.log()[source.clamp(min=0)]
    bend = cameras.bend[source.clamp(min=0)]
    # One row for each different lens; rounding of the caller does not make two of one.
    key = torch.stack(
        [
            torch.where(fresh, given.group, torch.zeros_like(given.group) - 1).to(torch.float64),
            torch.where(fresh, torch.zeros_like(focal), (focal * 1e4).round()),
            torch.where(fresh, torch.zeros_like(bend), (bend * 1e4).round()),
        ],
        dim=1,
    )
    _, group = torch.unique(key, dim=0, return_inverse=True)
    groups = int(group.max()) + 1
    log_focal = torch.zeros(groups, dtype=torch.float64, device=focal.device)
    group_bend = torch.zeros_like(log_focal)
    weight = torch.full_like(log_focal, known_weight)
    free = torch.zeros_like(log_focal)
    for i in range(group.size(0)):
        g = int(group[i])
        if bool(fresh[i]):
            log_focal[g] = given.log_focal[int(given.group[i])]
            weight[g] = given.weight[int(given.group[i])]
            free[g] = 1.0
        else:
            log_focal[g] = focal[i]
            group_bend[g] = bend[i]
    calibration = Calibration(group, log_focal, weight, given.extent)
    held = lens_prior(calibration, False, False)
    loose = lens_prior(calibration, True, False)
    return KnownLenses(
        lenses=Lenses(log_focal, group_bend, group, given.extent),
        calibration=calibration,
        prior=LensPrior(log_focal, loose.focal_weight * free, held.bend_weight),
        of_two=held,
    )


def without_points(model: Reconstruction, tracks: Tracks) -> Reconstruction:
    """The cameras of a reconstruction, with a place for the point of each track."""
    count = tracks.observed.size(0)
    device = tracks.pixels.device
    scene = model.scene
    points = torch.zeros(count, 3, dtype=torch.float64, device=device)
    known = torch.zeros(count, dtype=torch.bool, device=device)
    empty = Scene(scene.rotations, scene.translations, scene.lenses, points)
    return Reconstruction(empty, model.registered, known, model.fixed)


def as_placed(cameras: PlacedCameras, known: KnownLenses, report: Tensor) -> SparseModel:
    """The placed frames alone, if no new one could be placed; with the report [N, 8]."""
    frames = cameras.placed.size(0)
    source = nearest_registered(cameras.placed)
    device = cameras.placed.device
    return SparseModel(
        rotations=cameras.rotations[source],
        translations=cameras.translations[source],
        focal=focal_lengths(known.lenses),
        bend=known.lenses.bend[known.lenses.group],
        registered=cameras.placed,
        points=torch.zeros(0, 3, dtype=torch.float64, device=device),
        visible=torch.zeros(0, frames, dtype=torch.bool, device=device),
        report=report,
        reliability=torch.zeros(frames, dtype=torch.float32, device=device),
        links=no_links(frames, device),
    )


def extend(
    features: Tensor,
    cameras: Tensor,
    hints: Tensor,
    size: Tensor,
    threshold: float,
    least_angle: float = LEAST_ANGLE,
    stop: Tensor | None = None,
) -> SparseModel:
    """Place the new frames among the placed ones, in their coordinates.

    Args:
        features: float32 [N, F], rows of `encode_features`.
        cameras: [N, 24], rows of the contract's cameras; "registered" means "placed". Their unit
            of length is such that depths are about 1.
        hints: float32 [N, 3] as in the contract.
        size: int64 [2], height and width of the images.
        threshold: Inlier threshold in pixels.
        stop: See `stopping.check`.
    """
    size = size.to(features.device)
    frames = features.size(0)
    given = unpack_placed(cameras, size)
    placed = given.placed
    new: list[int] = []
    for i in range(frames):
        if not bool(placed[i]):
            new.append(i)
    unpacked = unpack_features(features)
    counts = shared_with(new, unpacked, stop=stop)
    shared = torch.zeros(frames, frames, dtype=torch.int64, device=features.device)
    for row, i in enumerate(new):
        shared[i] = counts[row]
    known = lenses_of(given, shared, hints, size)
    table = match_pairs(unpacked, pairs_with_new(new, counts), 800, stop)
    if table.first.size(0) == 0 or int(placed.sum()) < 2:
        return as_placed(given, known, unknown_report(frames, size.device))
    prior = FocalPrior(known.calibration.log_focal[0], known.calibration.weight[0])
    ideal = for_one_lens(table, known.lenses)
    focal = float(known.lenses.log_focal[0].exp())
    graph = build_view_graph(ideal, focal, known.lenses.extent, prior, threshold, stop)
    empty = torch.zeros(0, 3, dtype=torch.float64, device=size.device)
    scene = Scene(given.rotations, given.translations, known.lenses, empty)
    model = Reconstruction(scene, placed, empty[:, 0] > 0.0, placed)
    tracks = build_tracks(unpacked.positions, table, graph.inliers)
    model = add_points(without_points(model, tracks), tracks, threshold, least_angle)
    model = register_all(model, tracks, table, graph, known.of_two, known.prior, threshold, stop)
    # Again with the correspondences that the poses agree with: the geometry of a single pair may
    # have been wrong.
    both = (model.registered[table.first] & model.registered[table.second])[:, None]
    chosen = torch.where(both, model_agreement(model, table, threshold), graph.inliers)
    tracks = build_tracks(unpacked.positions, table, chosen)
    model = add_points(without_points(model, tracks), tracks, threshold, least_angle)
    model = register_all(model, tracks, table, graph, known.of_two, known.prior, threshold, stop)
    model = bundle(model, tracks, known.prior, threshold, threshold, 8, stop=stop)
    model = add_points(model, tracks, threshold, least_angle)
    model = bundle(model, tracks, known.prior, threshold, 0.5 * threshold, 12, 1e-4, stop)
    visible = inlier_observations(model, tracks, 2.0 * threshold)
    kept = torch.nonzero(visible.sum(1) >= 2)[:, 0]
    if kept.size(0) < 12:
        report = unsolved_report(table, graph, frames, known.lenses.extent)
        return as_placed(given, known, report)
    rival = torch.zeros(frames, dtype=torch.float64, device=size.device)
    reliability = frame_reliability(
        model, tracks, visible, table, graph, rival, known.calibration, threshold
    )
    report = frame_report(model, tracks, visible, table, graph, reliability, known.lenses.extent)
    both = model.registered[table.first] & model.registered[table.second]
    linked = verified(graph.inliers, model_agreement(model, table, threshold), both)
    source = nearest_registered(model.registered)
    lenses = model.scene.lenses
    return SparseModel(
        rotations=model.scene.rotations[source],
        translations=model.scene.translations[source],
        focal=focal_lengths(lenses),
        bend=lenses.bend[lenses.group],
        registered=model.registered,
        points=model.scene.points[kept],
        visible=visible[kept],
        report=report,
        reliability=reliability.value,
        links=pack_links(build_tracks(unpacked.positions, table, linked)),
    )
