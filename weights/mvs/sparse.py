"""Sparse reconstruction: cameras and triangulated tracks from the features of all frames."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.bundle import Scene
from weights.mvs.completion import complete
from weights.mvs.correspondences import Correspondences, match_all
from weights.mvs.features import encode_features, feature_length, unpack_features
from weights.mvs.growth import (
    Reconstruction,
    agreement,
    grow,
    inlier_observations,
    seed_pairs,
)
from weights.mvs.interface import SparseModel
from weights.mvs.reliability import frame_reliability
from weights.mvs.rivals import is_rival, two_view_rival
from weights.mvs.tracks import Tracks, build_tracks
from weights.mvs.view_graph import ViewGraph, build_view_graph, focal_candidates

__all__ = ["encode_features", "feature_length", "reconstruct"]


def pixel_threshold(size: Tensor) -> float:
    """Inlier threshold in pixels."""
    return max(1.0, 1.3 * float(size.max()) / 400.0)


def unknown_model(frames: int, size: Tensor) -> SparseModel:
    """The result if no geometry could be estimated."""
    device = size.device
    identity = torch.eye(3, dtype=torch.float64, device=device)
    return SparseModel(
        rotations=identity.repeat(frames, 1, 1),
        translations=torch.zeros(frames, 3, dtype=torch.float64, device=device),
        focal=size.max().to(torch.float64),
        registered=torch.zeros(frames, dtype=torch.bool, device=device),
        points=torch.zeros(0, 3, dtype=torch.float64, device=device),
        visible=torch.zeros(0, frames, dtype=torch.bool, device=device),
        reliability=torch.zeros(frames, dtype=torch.float32, device=device),
    )


def nearest_registered(registered: Tensor) -> Tensor:
    """For each frame, the nearest registered frame in the sequence (itself if registered)."""
    index = torch.arange(registered.size(0), device=registered.device)
    apart = (index[:, None] - index[None, :]).abs()
    far = torch.full_like(apart, registered.size(0) + 1)
    return torch.where(registered[None, :], apart, far).argmin(dim=1)


def in_first_frame(scene: Scene, registered: Tensor, points: Tensor) -> Scene:
    """The scene with `points` [T, 3] in the camera frame of the first registered frame, with a pose
    for every frame, scaled to a median point depth of 1 in that frame."""
    first = int(registered.to(torch.int64).argmax())
    source = nearest_registered(registered)
    rotation, translation = scene.rotations[first], scene.translations[first]
    rotations = scene.rotations[source] @ rotation.t()
    translations = scene.translations[source] - rotations @ translation
    moved = points @ rotation.t() + translation
    scale = moved[:, 2].median().clamp(min=1e-9)
    return Scene(rotations, translations / scale, scene.log_focal, moved / scale)


class Solution(NamedTuple):
    """A reconstruction with its tracks and its view graph."""

    model: Reconstruction
    graph: ViewGraph
    tracks: Tracks


def starting_focals(table: Correspondences, size: Tensor, threshold: float) -> list[float]:
    """The most likely focal length and up to two nearly as likely ones: the epipolar geometry of
    nearly planar scenes or small motions hardly depends on it."""
    candidates = focal_candidates(table, size, threshold)
    chosen = [candidates[0][0]]
    for focal, score in candidates:
        apart = True
        for other in chosen:
            apart = apart and abs(math.log(focal / other)) > 0.3
        if len(chosen) < 3 and apart and score > 0.97 * candidates[0][1]:
            chosen.append(focal)
    return chosen


def solve(
    positions: Tensor, table: Correspondences, size: Tensor, threshold: float
) -> tuple[list[Solution], list[float]]:
    """Reconstructions grown from several starts, with their scores, best first."""
    solutions: list[Solution] = []
    scores: list[float] = []
    frames = positions.size(0)
    for focal in starting_focals(table, size, threshold):
        graph = build_view_graph(table, focal, size, threshold)
        tracks = build_tracks(positions, table, graph.inliers, 8000)
        whole = False
        for row in seed_pairs(table, graph, 2):
            # With few frames a wrong start hardly causes contradictions, so try the others too.
            if whole and frames > 4:
                break
            grown = grow(row, table, graph, tracks, size, threshold)
            model, joined = complete(grown, tracks, positions, table, graph, size, threshold)
            whole = whole or bool(model.registered.all())
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
    size: Tensor,
    threshold: float,
) -> Tensor:
    """Score of the best different solution relative to the best one, float64 []."""
    model = solutions[0].model
    highest = torch.zeros([], dtype=torch.float64, device=table.points1.device)
    for index in range(1, len(solutions)):
        if is_rival(model, solutions[index].model):
            highest = highest.clamp(min=scores[index] / max(scores[0], 1.0))
    if int(model.registered.sum()) == 2:
        rows = torch.nonzero(model.registered[table.first] & model.registered[table.second])[:, 0]
        if rows.size(0) > 0:
            other = two_view_rival(table, int(rows[0]), model, size, threshold)
            highest = torch.maximum(highest, other)
    return highest


def reconstruct(features: Tensor, size: Tensor) -> SparseModel:
    """Structure from motion on the rows of `encode_features` of all frames.

    Args:
        features: float32 [N, F].
        size: int64 [2], height and width of the images.
    """
    frames = features.size(0)
    size = size.to(features.device)
    threshold = pixel_threshold(size)
    unpacked = unpack_features(features)
    table = match_all(unpacked, 600)
    if table.first.size(0) == 0:
        return unknown_model(frames, size)
    solutions, ranked = solve(unpacked.positions, table, size, threshold)
    if len(solutions) == 0:
        return unknown_model(frames, size)
    solution = solutions[0]
    model, tracks = solution.model, solution.tracks
    rival = rivalry(solutions, ranked, table, size, threshold)
    visible = inlier_observations(model, tracks, 2.0 * threshold)
    kept = torch.nonzero(visible.sum(1) >= 2)[:, 0]
    if kept.size(0) < 12:
        return unknown_model(frames, size)
    reliability = frame_reliability(model, tracks, visible, table, solution.graph, rival, threshold)
    scene = in_first_frame(model.scene, model.registered, model.scene.points[kept])
    return SparseModel(
        rotations=scene.rotations,
        translations=scene.translations,
        focal=scene.log_focal.exp(),
        registered=model.registered,
        points=scene.points,
        visible=visible[kept],
        reliability=reliability,
    )
