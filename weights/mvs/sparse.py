"""Sparse reconstruction: cameras and triangulated tracks from the features of all frames."""

import torch
from torch import Tensor

from weights.mvs.bundle import Scene
from weights.mvs.correspondences import match_all
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
from weights.mvs.tracks import build_tracks
from weights.mvs.view_graph import build_view_graph, focal_candidates

__all__ = ["encode_features", "feature_length", "reconstruct"]


def pixel_threshold(size: Tensor) -> float:
    """Distance in pixels up to which an observation agrees with a model."""
    return max(1.0, 1.3 * float(size.max()) / 400.0)


def unknown_model(frames: int, size: Tensor) -> SparseModel:
    """The answer when nothing is known about the geometry."""
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
    """For each frame the registered frame nearest in the sequence (itself if registered)."""
    index = torch.arange(registered.size(0), device=registered.device)
    apart = (index[:, None] - index[None, :]).abs()
    far = torch.full_like(apart, registered.size(0) + 1)
    return torch.where(registered[None, :], apart, far).argmin(dim=1)


def in_first_frame(scene: Scene, registered: Tensor, points: Tensor) -> Scene:
    """The scene with `points` [T, 3] only, in the camera frame of the first registered frame, and
    a pose for every frame; the median depth of the points in that frame is 1."""
    first = int(registered.to(torch.int64).argmax())
    source = nearest_registered(registered)
    rotation, translation = scene.rotations[first], scene.translations[first]
    rotations = scene.rotations[source] @ rotation.t()
    translations = scene.translations[source] - rotations @ translation
    moved = points @ rotation.t() + translation
    scale = moved[:, 2].median().clamp(min=1e-9)
    return Scene(rotations, translations / scale, scene.log_focal, moved / scale)


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
    candidates = focal_candidates(table, size, threshold)
    graph = build_view_graph(table, candidates[0][0], size, threshold)
    tracks = build_tracks(unpacked.positions, table, graph.inliers, 8000)
    best: list[Reconstruction] = []
    best_score = 0.0
    for row in seed_pairs(table, graph, 2):
        if len(best) > 0 and bool(best[0].registered.all()):
            break
        model = grow(row, table, graph, tracks, size, threshold)
        score = agreement(model, tracks, threshold)
        if score > best_score:
            best_score = score
            best = [model]
    if len(best) == 0:
        return unknown_model(frames, size)
    model = best[0]
    visible = inlier_observations(model, tracks, 2.0 * threshold)
    kept = torch.nonzero(visible.sum(1) >= 2)[:, 0]
    if kept.size(0) < 12:
        return unknown_model(frames, size)
    reliability = frame_reliability(model, tracks, visible, table, graph, threshold)
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
