"""Incremental structure from motion: start from a pair of frames with parallax and register the
others one by one (Schönberger and Frahm, "Structure-from-motion revisited", 2016)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from weights.contract.stopping import check
from weights.mvs.bundle import LensPrior, Observations, Scene, adjust
from weights.mvs.calibration import Calibration, lens_prior, starting_lenses
from weights.mvs.correspondences import Correspondences
from weights.mvs.geometry import project, transform
from weights.mvs.lenses import Lenses, focal_lengths, recorded, straight, straightened
from weights.mvs.resection import locate, refine_pose
from weights.mvs.tracks import Tracks
from weights.mvs.triangulation import triangulate
from weights.mvs.view_graph import ViewGraph


class Reconstruction(NamedTuple):
    """A scene and which of its frames and points are estimated."""

    scene: Scene
    """Cameras, and one point per track in the order of the tracks."""
    registered: Tensor
    """bool [N], frames with a pose."""
    known: Tensor
    """bool [T], tracks with a point."""
    fixed: Tensor
    """bool [N], frames whose poses hold the coordinates: they never change."""


def reprojection_errors(model: Reconstruction, tracks: Tracks) -> tuple[Tensor, Tensor]:
    """Reprojection errors in pixels and depths of all tracks in all frames, both [T, N]."""
    scene = model.scene
    placed = transform(scene.rotations, scene.translations, scene.points)
    focal = focal_lengths(scene.lenses)[:, None]
    lenses = scene.lenses
    errors = project(placed, focal) - straightened(tracks.pixels, lenses)
    bend = lenses.bend[lenses.group][None]
    errors = recorded(errors, tracks.pixels, bend, lenses.extent)
    return errors.square().sum(-1).sqrt(), placed[..., 2]


def inlier_observations(model: Reconstruction, tracks: Tracks, limit: float) -> Tensor:
    """bool [T, N], inliers: observations of registered frames with an error within `limit`
    pixels."""
    errors, depths = reprojection_errors(model, tracks)
    seen = tracks.observed & model.registered[None] & model.known[:, None]
    return seen & (errors < limit) & (depths > 1e-3)


def add_points(
    model: Reconstruction, tracks: Tracks, threshold: float, least_angle: float
) -> Reconstruction:
    """Triangulate tracks without a point whose rays differ by at least `least_angle` radians.

    Tracks of many frames may have some outlier observations, tracks of two frames none.
    """
    scene = model.scene
    focal = focal_lengths(scene.lenses)[:, None]
    todo = torch.nonzero(~model.known & ((tracks.observed & model.registered).sum(1) >= 2))[:, 0]
    if todo.size(0) == 0:
        return model
    pixels = straightened(tracks.pixels[todo], scene.lenses)
    seen = tracks.observed[todo] & model.registered
    good = seen
    points, angles = triangulate(scene.rotations, scene.translations, focal, pixels, seen)
    for _pass in range(2):
        placed = transform(scene.rotations, scene.translations, points)
        errors = (project(placed, focal) - pixels).square().sum(-1).sqrt()
        good = seen & (errors < 2.5 * threshold) & (placed[..., 2] > 1e-3)
        points, angles = triangulate(scene.rotations, scene.translations, focal, pixels, good)
    agree = good.sum(1)
    enough = (agree >= 3) | ((agree >= 2) & (good | ~seen).all(dim=1))
    fresh = enough & (angles > least_angle)
    known = model.known.clone()
    known[todo] = fresh
    all_points = scene.points.clone()
    all_points[todo[fresh]] = points[fresh]
    moved = Scene(scene.rotations, scene.translations, scene.lenses, all_points)
    return Reconstruction(moved, model.registered, known, model.fixed)


def rescaled(model: Reconstruction) -> Reconstruction:
    """Rescale to a median depth of 1 in the fixed frame, unless several ones fix the scale."""
    scene = model.scene
    if int(model.fixed.sum()) != 1:
        return model
    origin = int(model.fixed.to(torch.int64).argmax())
    placed = scene.points[model.known] @ scene.rotations[origin].t()
    depths = placed[:, 2] + scene.translations[origin, 2]
    if depths.size(0) == 0:
        return model
    scale = float(depths.median())
    if not (scale > 1e-9 and scale < 1e9):
        return model
    smaller = Scene(scene.rotations, scene.translations / scale, scene.lenses, scene.points / scale)
    return Reconstruction(smaller, model.registered, model.known, model.fixed)


def bundle(
    model: Reconstruction,
    tracks: Tracks,
    prior: LensPrior,
    threshold: float,
    huber: float,
    iterations: int,
    settled: float = 1e-3,
    stop: Tensor | None = None,
) -> Reconstruction:
    """Bundle-adjust all registered frames and known points, then drop outlier points."""
    # Loose at first, while poses are wrong; outliers would pull the lenses.
    limit = 8.0 if huber >= threshold else 3.0
    used = inlier_observations(model, tracks, limit * threshold)
    used = used & (used.sum(1) >= 2)[:, None]
    track, camera = torch.nonzero(used).unbind(1)
    if track.size(0) < 20:
        return model
    rows, point = torch.unique_consecutive(track, return_inverse=True)
    observations = Observations(camera=camera, point=point, pixels=tracks.pixels[track, camera])
    scene = model.scene
    start = Scene(scene.rotations, scene.translations, scene.lenses, scene.points[rows])
    fixed = ~model.registered | model.fixed
    better = adjust(start, observations, fixed, prior, huber, iterations, settled, stop=stop)
    points = scene.points.clone()
    points[rows] = better.points
    moved = Scene(better.rotations, better.translations, better.lenses, points)
    model = Reconstruction(moved, model.registered, model.known, model.fixed)
    agree = inlier_observations(model, tracks, 2.5 * threshold).sum(1)
    return rescaled(
        Reconstruction(moved, model.registered, model.known & (agree >= 2), model.fixed)
    )


def seed_pairs(table: Correspondences, graph: ViewGraph, count: int) -> list[int]:
    """Rows of the best pairs to start from: many inliers whose rays are some degrees apart."""
    wide = (graph.angles / math.radians(5.0)).clamp(max=1.0) * graph.inliers
    worth = wide.sum(1)
    order = torch.argsort(worth, descending=True, stable=True)
    return [int(order[index]) for index in range(min(count, order.size(0)))]


def rotation_candidates(
    frame: int, model: Reconstruction, table: Correspondences, graph: ViewGraph
) -> Tensor:
    """Candidate rotations [C, 3, 3] of a frame, from its pairs with registered frames."""
    forward = (table.second == frame) & model.registered[table.first]
    backward = (table.first == frame) & model.registered[table.second]
    rows = torch.nonzero(forward | backward)[:, 0]
    order = torch.argsort(graph.support[rows], descending=True, stable=True)[:5]
    rows = rows[order]
    relative = graph.poses.rotations[rows]
    straight = relative @ model.scene.rotations[table.first[rows]]
    inverse = relative.transpose(1, 2) @ model.scene.rotations[table.second[rows]]
    return torch.where(forward[rows][:, None, None], straight, inverse)


def register_frame(
    frame: int,
    model: Reconstruction,
    tracks: Tracks,
    table: Correspondences,
    graph: ViewGraph,
    threshold: float,
) -> Reconstruction:
    """Register a frame if enough of its observed known points are inliers of a pose."""
    rotations = rotation_candidates(frame, model, table, graph)
    rows = torch.nonzero(tracks.observed[:, frame] & model.known)[:, 0]
    if rotations.size(0) == 0 or rows.size(0) < 8:
        return model
    scene = model.scene
    lenses = scene.lenses
    focal = focal_lengths(lenses)[frame]
    bend = lenses.bend[lenses.group[frame]]
    points = scene.points[rows]
    pixels = straight(tracks.pixels[rows, frame], bend.expand(rows.size(0)), lenses.extent)
    rotation, translation = locate(rotations, focal, points, pixels, 6.0 * threshold)
    rotation, translation = refine_pose(
        rotation, translation, focal, points, pixels, 3.0 * threshold
    )
    placed = points @ rotation.t() + translation
    errors = (project(placed, focal) - pixels).square().sum(1).sqrt()
    agree = int(((errors < 3.0 * threshold) & (placed[:, 2] > 1e-3)).sum())
    if agree < 8 or agree < 0.3 * rows.size(0):
        return model
    all_rotations, translations = scene.rotations.clone(), scene.translations.clone()
    all_rotations[frame] = rotation
    translations[frame] = translation
    registered = model.registered.clone()
    registered[frame] = True
    moved = Scene(all_rotations, translations, scene.lenses, scene.points)
    return Reconstruction(moved, registered, model.known, model.fixed)


def start_from_pair(
    row: int,
    table: Correspondences,
    graph: ViewGraph,
    tracks: Tracks,
    lenses: Lenses,
    threshold: float,
) -> Reconstruction:
    """Reconstruct the two frames of a pair."""
    frames, count = tracks.observed.size(1), tracks.observed.size(0)
    first, second = int(table.first[row]), int(table.second[row])
    device = tracks.pixels.device
    identity = torch.eye(3, dtype=torch.float64, device=device)
    rotations = identity.repeat(frames, 1, 1)
    translations = torch.zeros(frames, 3, dtype=torch.float64, device=device)
    rotations[second] = graph.poses.rotations[row]
    translations[second] = graph.poses.translations[row]
    registered = torch.zeros(frames, dtype=torch.bool, device=device)
    registered[first] = True
    registered[second] = True
    points = torch.zeros(count, 3, dtype=torch.float64, device=device)
    known = torch.zeros(count, dtype=torch.bool, device=device)
    fixed = torch.zeros(frames, dtype=torch.bool, device=device)
    fixed[first] = True
    scene = Scene(rotations, translations, lenses, points)
    model = Reconstruction(scene, registered, known, fixed)
    model = add_points(model, tracks, threshold, math.radians(0.5))
    if int(model.known.sum()) < 12:
        model = add_points(model, tracks, threshold, math.radians(0.1))
    return rescaled(model)


def register_all(
    model: Reconstruction,
    tracks: Tracks,
    table: Correspondences,
    graph: ViewGraph,
    of_two: LensPrior,
    prior: LensPrior,
    threshold: float,
    stop: Tensor | None = None,
) -> Reconstruction:
    """Register the other frames, those that see most known points first. `of_two` is the prior of
    the lenses while only two frames are registered."""
    frames = tracks.observed.size(1)
    failed = torch.zeros_like(model.registered)
    while bool((~model.registered & ~failed).any()):
        visible = (tracks.observed & model.known[:, None]).sum(0)
        visible = torch.where(model.registered | failed, torch.full_like(visible, -1), visible)
        most = int(visible.max())
        before = int(model.registered.sum())
        for frame in range(frames):
            if int(visible[frame]) >= 0 and int(visible[frame]) >= 0.7 * most:
                check(stop)
                failed[frame] = True
                model = register_frame(frame, model, tracks, table, graph, threshold)
        count = int(model.registered.sum())
        if count > before:
            failed = torch.zeros_like(failed)
            model = add_points(model, tracks, threshold, math.radians(1.0))
            used = prior if count >= 3 else of_two
            model = bundle(model, tracks, used, threshold, threshold, 6, stop=stop)
    return model


def grow(
    row: int,
    table: Correspondences,
    graph: ViewGraph,
    tracks: Tracks,
    calibration: Calibration,
    threshold: float,
    stop: Tensor | None = None,
) -> Reconstruction:
    """Reconstruct incrementally from the pair in a row of the table."""
    lenses = starting_lenses(calibration, graph.poses.log_focal)
    fixed = lens_prior(calibration, False, False)
    model = start_from_pair(row, table, graph, tracks, lenses, threshold)
    model = bundle(model, tracks, fixed, threshold, threshold, 10, stop=stop)
    prior = lens_prior(calibration, True, False)
    model = register_all(model, tracks, table, graph, fixed, prior, threshold, stop)
    model = add_points(model, tracks, threshold, math.radians(0.7))
    model = bundle(model, tracks, prior, threshold, threshold, 20, stop=stop)
    model = add_points(model, tracks, threshold, math.radians(0.7))
    return bundle(model, tracks, prior, threshold, 0.5 * threshold, 20, stop=stop)


def agreement(model: Reconstruction, tracks: Tracks, threshold: float) -> float:
    """Truncated score of a reconstruction: inlier observations weighted by their fit."""
    errors, _ = reprojection_errors(model, tracks)
    agree = inlier_observations(model, tracks, 2.0 * threshold)
    return float(((1.0 - (errors / (2.0 * threshold)).square()).clamp(min=0.0) * agree).sum())
