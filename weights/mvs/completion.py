"""Second pass over a reconstruction: re-evaluate the correspondences of all pairs with the
estimated poses, because the epipolar geometry of a single pair may have been wrong or poorly
supported."""

import math

import torch
from torch import Tensor

from weights.mvs.bundle import Scene
from weights.mvs.correspondences import Correspondences
from weights.mvs.epipolar import fundamental_of, sampson_residuals
from weights.mvs.growth import (
    Reconstruction,
    add_points,
    agreement,
    bundle,
    register_frame,
)
from weights.mvs.tracks import Tracks, build_tracks
from weights.mvs.view_graph import ViewGraph


def model_agreement(model: Reconstruction, table: Correspondences, threshold: float) -> Tensor:
    """bool [P, M], correspondences within `threshold` pixels of the epipolar geometry of the
    model's poses; meaningful only if both frames are registered."""
    scene = model.scene
    first, second = table.first, table.second
    rotations = scene.rotations[second] @ scene.rotations[first].transpose(1, 2)
    turned = (rotations @ scene.translations[first][:, :, None])[:, :, 0]
    baselines = scene.translations[second] - turned
    length = baselines.square().sum(1, keepdim=True).sqrt().clamp(min=1e-9)
    fundamental = fundamental_of(rotations, baselines / length, scene.log_focal)
    residuals, _, _ = sampson_residuals(fundamental, table.points1, table.points2)
    return (residuals.abs() < threshold) & table.valid


def complete(
    model: Reconstruction,
    tracks: Tracks,
    positions: Tensor,
    table: Correspondences,
    graph: ViewGraph,
    size: Tensor,
    threshold: float,
) -> tuple[Reconstruction, Tracks]:
    """Rebuild the tracks and retry the unregistered frames.

    Returns the given reconstruction if the result explains fewer observations.
    """
    both = (model.registered[table.first] & model.registered[table.second])[:, None]
    chosen = torch.where(both, model_agreement(model, table, threshold), graph.inliers)
    fresh = build_tracks(positions, table, chosen, tracks.capacity)
    count = fresh.observed.size(0)
    device = fresh.pixels.device
    scene = model.scene
    points = torch.zeros(count, 3, dtype=torch.float64, device=device)
    known = torch.zeros(count, dtype=torch.bool, device=device)
    empty = Scene(scene.rotations, scene.translations, scene.log_focal, points)
    again = Reconstruction(empty, model.registered, known, model.origin)
    again = add_points(again, fresh, threshold, math.radians(0.7))
    again = bundle(again, fresh, size, threshold, threshold, 8, True)
    for frame in range(fresh.observed.size(1)):
        if not bool(again.registered[frame]):
            again = register_frame(frame, again, fresh, table, graph, threshold)
    again = add_points(again, fresh, threshold, math.radians(0.7))
    again = bundle(again, fresh, size, threshold, 0.5 * threshold, 20, True)
    if agreement(again, fresh, threshold) < agreement(model, tracks, threshold):
        return model, tracks
    return again, fresh
