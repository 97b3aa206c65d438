"""Second pass over a reconstruction: re-evaluate the correspondences of all pairs with the
estimated poses, because the epipolar geometry of a single pair may have been wrong or poorly
supported."""

import math

import torch
from torch import Tensor

from weights.contract.stopping import check
from weights.mvs.bundle import Scene
from weights.mvs.calibration import Calibration, lens_prior
from weights.mvs.correspondences import Correspondences
from weights.mvs.epipolar import fundamental_of, sampson_residuals
from weights.mvs.growth import (
    Reconstruction,
    add_points,
    agreement,
    bundle,
    register_frame,
)
from weights.mvs.lenses import as_one_lens
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
    fundamental = fundamental_of(rotations, baselines / length, scene.lenses.log_focal[0])
    points1 = as_one_lens(table.points1, first, scene.lenses)
    points2 = as_one_lens(table.points2, second, scene.lenses)
    residuals, _, _ = sampson_residuals(fundamental, points1, points2)
    return (residuals.abs() < threshold) & table.valid


def complete(
    model: Reconstruction,
    tracks: Tracks,
    positions: Tensor,
    table: Correspondences,
    graph: ViewGraph,
    calibration: Calibration,
    bend_is_free: bool,
    threshold: float,
    least_kept: float,
    stop: Tensor | None = None,
) -> tuple[Reconstruction, Tracks]:
    """Rebuild the tracks and retry the unregistered frames.

    Returns the given reconstruction if the agreement of the result is less than `least_kept` times
    its own.
    """
    both = (model.registered[table.first] & model.registered[table.second])[:, None]
    chosen = torch.where(both, model_agreement(model, table, threshold), graph.inliers)
    fresh = build_tracks(positions, table, chosen)
    count = fresh.observed.size(0)
    device = fresh.pixels.device
    scene = model.scene
    points = torch.zeros(count, 3, dtype=torch.float64, device=device)
    known = torch.zeros(count, dtype=torch.bool, device=device)
    empty = Scene(scene.rotations, scene.translations, scene.lenses, points)
    again = Reconstruction(empty, model.registered, known, model.fixed)
    again = add_points(again, fresh, threshold, math.radians(0.7))
    prior = lens_prior(calibration, True, bend_is_free)
    rigid = lens_prior(calibration, True, False)
    again = bundle(again, fresh, rigid, threshold, threshold, 8, stop=stop)
    for frame in range(fresh.observed.size(1)):
        if not bool(again.registered[frame]):
            check(stop)
            again = register_frame(frame, again, fresh, table, graph, threshold)
    again = add_points(again, fresh, threshold, math.radians(0.7))
    again = bundle(again, fresh, prior, threshold, 0.5 * threshold, 20, 1e-4, stop)
    strict = 0.5 * threshold
    if agreement(again, fresh, strict) < least_kept * agreement(model, tracks, strict):
        return model, tracks
    return again, fresh
