"""Sparse reconstruction: cameras and triangulated tracks from the features of all frames."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.bundle import Scene
from weights.mvs.calibration import (
    Calibration,
    focal_prior,
    reordered,
    starting_lenses,
    unknown_calibration,
)
from weights.mvs.completion import complete
from weights.mvs.correspondences import Correspondences, for_one_lens, match_all
from weights.mvs.devices import with_devices
from weights.mvs.features import encode_features, feature_length, unpack_features
from weights.mvs.geometry import nearest_registered, transform, uniform_hash
from weights.mvs.growth import (
    Reconstruction,
    agreement,
    grow,
    inlier_observations,
    seed_pairs,
)
from weights.mvs.interface import SparseModel
from weights.mvs.lenses import Lenses, focal_lengths
from weights.mvs.links import no_links, pack_links
from weights.mvs.reliability import focal_uncertainty, frame_reliability
from weights.mvs.report import frame_report, unknown_report, unsolved_report
from weights.mvs.rivals import disputed, two_view_rival
from weights.mvs.tracks import Tracks, build_tracks
from weights.mvs.view_graph import ViewGraph, build_view_graph, focal_candidates

__all__ = ["encode_features", "feature_length", "reconstruct"]

COMPLETIONS: int = 3
"""Rounds of `complete`: each re-evaluates the correspondences with better poses."""
LEAST_KEPT: float = 0.85
"""Least agreement of a round relative to the one before. Below 1, because an earlier round counts
wrong observations, too, to which its poses were fitted."""
LEAST_GAIN: float = 1.01
"""Least agreement with lens distortion relative to that without. Some motions, for example straight
ahead, hardly tell distortion from depth."""


def pixel_threshold(size: Tensor) -> float:
    """Inlier threshold in pixels."""
    return max(1.0, 1.3 * float(size.max()) / 400.0)


def unknown_model(report: Tensor, size: Tensor) -> SparseModel:
    """The result if no geometry could be estimated, with the report of the frames [N, 8]."""
    frames = report.size(0)
    device = size.device
    identity = torch.eye(3, dtype=torch.float64, device=device)
    return SparseModel(
        rotations=identity.repeat(frames, 1, 1),
        translations=torch.zeros(frames, 3, dtype=torch.float64, device=device),
        focal=size.max().to(torch.float64).expand(frames),
        bend=torch.zeros(frames, dtype=torch.float64, device=device),
        registered=torch.zeros(frames, dtype=torch.bool, device=device),
        points=torch.zeros(0, 3, dtype=torch.float64, device=device),
        visible=torch.zeros(0, frames, dtype=torch.bool, device=device),
        report=report,
        reliability=torch.zeros(frames, dtype=torch.float32, device=device),
        links=no_links(frames, device),
    )


def canonical_order(features: Tensor) -> Tensor:
    """An order of the frames, int64 [N], that depends only on their features, so that the order in
    which the photos come does not matter."""
    length = features.size(1)
    weights = uniform_hash(1, length, 3, features.device)[0]
    keys = (features.to(torch.float64) * weights).sum(1)
    return torch.argsort(keys, stable=True)


def in_first_frame(scene: Scene, registered: Tensor, visible: Tensor) -> Scene:
    """The scene in the camera frame of the first registered frame, with a pose for every frame,
    scaled to a median depth of 1 of the points that this frame sees.

    `visible` bool [T, N] are the inlier observations. Points that other frames see may lie behind
    the first one. If it sees none, the unit is the median depth over all observations.
    """
    first = int(registered.to(torch.int64).argmax())
    source = nearest_registered(registered)
    rotation, translation = scene.rotations[first], scene.translations[first]
    rotations = scene.rotations[source] @ rotation.t()
    translations = scene.translations[source] - rotations @ translation
    # Exactly, not only up to rounding.
    rotations[source == first] = torch.eye(3, dtype=torch.float64, device=rotations.device)
    translations[source == first] = 0.0
    moved = scene.points @ rotation.t() + translation
    depths = moved[visible[:, first], 2]
    if depths.size(0) == 0:
        depths = transform(rotations, translations, moved)[..., 2][visible]
    scale = depths.median().clamp(min=1e-9)
    return Scene(rotations, translations / scale, scene.lenses, moved / scale)


class Solution(NamedTuple):
    """A reconstruction with its tracks and its view graph."""

    model: Reconstruction
    graph: ViewGraph
    tracks: Tracks


def starting_focals(
    table: Correspondences,
    calibration: Calibration,
    threshold: float,
    stop: Tensor | None = None,
) -> list[float]:
    """The most likely focal length and up to two nearly as likely ones: the epipolar geometry of
    nearly planar scenes or small motions hardly depends on it."""
    candidates = focal_candidates(
        table, calibration.extent, focal_prior(calibration), threshold, stop=stop
    )
    chosen = [candidates[0][0]]
    for focal, score in candidates:
        apart = True
        for other in chosen:
            apart = apart and abs(math.log(focal / other)) > 0.3
        if len(chosen) < 3 and apart and score > 0.97 * candidates[0][1]:
            chosen.append(focal)
    return chosen


def finish(
    model: Reconstruction,
    tracks: Tracks,
    positions: Tensor,
    table: Correspondences,
    graph: ViewGraph,
    calibration: Calibration,
    threshold: float,
    completions: int = COMPLETIONS,
    least_kept: float = LEAST_KEPT,
    least_gain: float = LEAST_GAIN,
    stop: Tensor | None = None,
) -> tuple[Reconstruction, Tracks]:
    """Complete a grown reconstruction in several rounds, the last with lens distortion if that
    fits better."""
    for _round in range(completions - 1):
        model, tracks = complete(
            model, tracks, positions, table, graph, calibration, False, threshold, least_kept, stop
        )
    # Two frames cannot tell distortion from depth, three hardly.
    count = int(model.registered.sum())
    if count < 3:
        return complete(
            model, tracks, positions, table, graph, calibration, False, threshold, least_kept, stop
        )
    gain = least_gain if count > 3 else least_gain * least_gain
    bent, others = complete(
        model, tracks, positions, table, graph, calibration, True, threshold, gain, stop
    )
    return complete(
        bent,
        others,
        positions,
        table,
        graph,
        calibration,
        bool((bent.scene.lenses.bend != 0.0).any()),
        threshold,
        least_kept,
        stop,
    )


def is_settled(
    model: Reconstruction, tracks: Tracks, calibration: Calibration, threshold: float
) -> bool:
    """Whether all frames are registered and determine the focal length well, so that no other one
    need be tried."""
    if not bool(model.registered.all()) or model.registered.size(0) <= 4:
        return False
    visible = inlier_observations(model, tracks, 2.0 * threshold)
    deviations = focal_uncertainty(model, tracks, visible, calibration)
    return float(deviations.max()) < 0.03


def explore(
    positions: Tensor,
    table: Correspondences,
    calibration: Calibration,
    threshold: float,
    stop: Tensor | None = None,
) -> tuple[list[Solution], list[float]]:
    """Reconstructions grown from several starts, with their scores, best first. Those of few frames
    are complete."""
    solutions: list[Solution] = []
    scores: list[float] = []
    frames = positions.size(0)
    prior = focal_prior(calibration)
    ideal = for_one_lens(table, starting_lenses(calibration, prior.mean))
    settled = False
    for focal in starting_focals(ideal, calibration, threshold, stop):
        if settled:
            break
        graph = build_view_graph(ideal, focal, calibration.extent, prior, threshold, stop)
        tracks = build_tracks(positions, table, graph.inliers)
        whole = False
        for row in seed_pairs(table, graph, 2):
            # With few frames a wrong start hardly causes contradictions, so try the others too.
            if whole and frames > 4:
                break
            model = grow(row, table, graph, tracks, calibration, threshold, stop)
            joined = tracks
            if frames <= 4:
                model, joined = finish(
                    model, joined, positions, table, graph, calibration, threshold, stop=stop
                )
            whole = whole or bool(model.registered.all())
            settled = settled or is_settled(model, joined, calibration, threshold)
            score = agreement(model, joined, 0.5 * threshold)
            place = 0
            while place < len(scores) and scores[place] >= score:
                place += 1
            scores.insert(place, score)
            solutions.insert(place, Solution(model, graph, joined))
    return solutions, scores


def rivalry(
    solutions: list[Solution],
    scores: list[float],
    table: Correspondences,
    calibration: Calibration,
    threshold: float,
) -> Tensor:
    """For each frame, the score of the best solution that places it differently, relative to the
    best one, float64 [N]."""
    model = solutions[0].model
    highest = torch.zeros(model.registered.size(0), dtype=torch.float64, device=table.first.device)
    for index in range(1, len(solutions)):
        here = disputed(model, solutions[index].model).to(torch.float64)
        highest = torch.maximum(highest, here * (scores[index] / max(scores[0], 1.0)))
    if int(model.registered.sum()) == 2:
        rows = torch.nonzero(model.registered[table.first] & model.registered[table.second])[:, 0]
        if rows.size(0) > 0:
            ideal = for_one_lens(table, model.scene.lenses)
            prior = focal_prior(calibration)
            other = two_view_rival(ideal, int(rows[0]), model, prior, threshold)
            highest = torch.maximum(highest, other)
    return highest


def reconstruct(features: Tensor, size: Tensor, stop: Tensor | None = None) -> SparseModel:
    """`reconstruct_calibrated` if nothing is known about the lenses."""
    calibration = unknown_calibration(features.size(0), size.to(features.device))
    return reconstruct_calibrated(features, calibration, size, stop)


def reconstruct_calibrated(
    features: Tensor, calibration: Calibration, size: Tensor, stop: Tensor | None = None
) -> SparseModel:
    """Structure from motion on the rows of `encode_features` of all frames.

    Args:
        features: float32 [N, F].
        calibration: What is known about the lenses of the N frames.
        size: int64 [2], height and width of the images.
        stop: See `stopping.check`.
    """
    frames = features.size(0)
    size = size.to(features.device)
    order = canonical_order(features)
    place = torch.argsort(order)
    calibration = reordered(calibration, order)
    threshold = pixel_threshold(size)
    unpacked = unpack_features(features[order])
    table = match_all(unpacked, 800, stop)
    if table.first.size(0) == 0:
        return unknown_model(unknown_report(frames, size.device), size)
    positions = unpacked.positions
    solutions, ranked = explore(positions, table, calibration, threshold, stop)
    if len(solutions) == 0:
        return unknown_model(unknown_report(frames, size.device), size)
    solution = solutions[0]
    devices = with_devices(solution.model, solution.tracks, calibration, threshold, stop=stop)
    if devices.log_focal.size(0) > calibration.log_focal.size(0):
        calibration = devices
        solutions, ranked = explore(positions, table, calibration, threshold, stop)
        solution = solutions[0]
    model, tracks = solution.model, solution.tracks
    if frames > 4:
        model, tracks = finish(
            model, tracks, positions, table, solution.graph, calibration, threshold, stop=stop
        )
        solutions[0] = Solution(model, solution.graph, tracks)
    rival = rivalry(solutions, ranked, table, calibration, threshold)
    visible = inlier_observations(model, tracks, 2.0 * threshold)
    kept = torch.nonzero(visible.sum(1) >= 2)[:, 0]
    if kept.size(0) < 12:
        report = unsolved_report(table, solution.graph, frames, calibration.extent)
        return unknown_model(report[place], size)
    reliability = frame_reliability(
        model, tracks, visible, table, solution.graph, rival, calibration, threshold
    )
    report = frame_report(
        model, tracks, visible, table, solution.graph, reliability, calibration.extent
    )
    registered, visible = model.registered[place], visible[kept][:, place]
    lenses = model.scene.lenses
    scene = Scene(
        model.scene.rotations[place],
        model.scene.translations[place],
        Lenses(lenses.log_focal, lenses.bend, lenses.group[place], lenses.extent),
        model.scene.points[kept],
    )
    scene = in_first_frame(scene, registered, visible)
    return SparseModel(
        rotations=scene.rotations,
        translations=scene.translations,
        focal=focal_lengths(scene.lenses),
        bend=scene.lenses.bend[scene.lenses.group],
        registered=registered,
        points=scene.points,
        visible=visible,
        report=report[place],
        reliability=reliability.value[place],
        links=pack_links(Tracks(tracks.pixels[kept][:, place], visible)),
    )
