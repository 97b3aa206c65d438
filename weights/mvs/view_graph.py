"""The view graph: frames, and for each pair with enough correspondences its relative pose and its
parallax. All frames share one focal length."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.calibration import FOCAL_DEVIATION, FocalPrior
from weights.mvs.correspondences import Correspondences, select_pairs
from weights.mvs.epipolar import (
    RelativePoses,
    draw_for_pairs,
    fundamental_of,
    ransac,
    refine_relative,
    sampson_residuals,
)
from weights.mvs.essential import two_view_depths
from weights.mvs.geometry import rays_of
from weights.mvs.parallax import homography_residuals, rotation_residuals

JUDGES: int = 4
"""Number of pairs to score a focal length with."""


class ViewGraph(NamedTuple):
    """Edges of `P` pairs, in the order of the correspondences."""

    poses: RelativePoses
    inliers: Tensor
    """bool [P, M], inliers of the epipolar geometry in front of both cameras."""
    angles: Tensor
    """float64 [P, M], radians between the rays of each correspondence."""
    support: Tensor
    """float64 [P], truncated score of the epipolar geometry, in units of correspondences."""
    parallax: Tensor
    """float64 [P], number of inliers that do not fit a pure rotation."""
    relief: Tensor
    """float64 [P], number of inliers that do not fit a homography."""


def focal_guesses(
    extent: float, prior: FocalPrior, deviation: float = FOCAL_DEVIATION
) -> list[float]:
    """Focal lengths in pixels to start from: the known one, or those of fields of view of 80 to 30
    degrees along the longer side, close enough for the refinement to reach any value in between."""
    if float(prior.weight) * deviation * deviation > 2.0:
        return [float(prior.mean.exp())]
    angles = [80.0, 68.0, 56.0, 46.0, 37.0, 30.0]
    return [0.5 * extent / math.tan(math.radians(angle) / 2.0) for angle in angles]


def truncated_score(poses: RelativePoses, table: Correspondences, threshold: float) -> Tensor:
    """Truncated score of each pair [P]: inliers weighted by their fit."""
    fundamental = fundamental_of(poses.rotations, poses.translations, poses.log_focal)
    residuals, _, _ = sampson_residuals(fundamental, table.points1, table.points2)
    score = (1.0 - (residuals / threshold).square()).clamp(min=0.0)
    return (score * table.valid).sum(1)


def estimate_poses(
    table: Correspondences,
    samples: Tensor,
    focal: float,
    prior: FocalPrior,
    threshold: float,
    steps: int,
    stop: Tensor | None = None,
) -> RelativePoses:
    """RANSAC on samples [P, S, 5] with a focal length, then refinement of it and the poses."""
    rotations, translations = ransac(table, samples, focal, threshold, stop)
    log_focal = torch.tensor(math.log(focal), dtype=torch.float64, device=rotations.device)
    poses = RelativePoses(rotations, translations, log_focal, torch.zeros_like(log_focal))
    return refine_relative(poses, table, prior, 0.6 * threshold, steps, True, stop)


def strongest_pairs(table: Correspondences, count: int) -> Tensor:
    """Rows of the pairs with most distinctive correspondences."""
    strength = (table.ratio < 0.8).sum(1)
    return torch.argsort(strength, descending=True, stable=True)[:count]


def focal_candidates(
    table: Correspondences,
    extent: float,
    prior: FocalPrior,
    threshold: float,
    judges: int = JUDGES,
    stop: Tensor | None = None,
) -> list[tuple[float, float]]:
    """(focal length, score) for each start, best first, scored on the strongest pairs."""
    strong = select_pairs(table, strongest_pairs(table, judges))
    samples = draw_for_pairs(strong, 60)
    found: list[tuple[float, float]] = []
    for guess in focal_guesses(extent, prior):
        poses = estimate_poses(strong, samples, guess, prior, threshold, 6, stop)
        score = float(truncated_score(poses, strong, threshold).sum())
        found.append((float(poses.log_focal.exp()), score))
    ordered: list[tuple[float, float]] = []
    while len(found) > 0:
        best = 0
        for index in range(1, len(found)):
            if found[index][1] > found[best][1]:
                best = index
        ordered.append(found.pop(best))
    return ordered


def build_view_graph(
    table: Correspondences,
    focal: float,
    extent: float,
    prior: FocalPrior,
    threshold: float,
    stop: Tensor | None = None,
) -> ViewGraph:
    """Edges of all pairs, by RANSAC with an initial focal length that is then refined."""
    poses = estimate_poses(table, draw_for_pairs(table, 100), focal, prior, threshold, 12, stop)
    fundamental = fundamental_of(poses.rotations, poses.translations, poses.log_focal)
    residuals, _, _ = sampson_residuals(fundamental, table.points1, table.points2)
    scale = poses.log_focal.exp()
    depth1, depth2, cosine = two_view_depths(
        poses.rotations,
        poses.translations,
        rays_of(table.points1, scale),
        rays_of(table.points2, scale),
    )
    inliers = (residuals.abs() < threshold) & table.valid & (depth1 > 0) & (depth2 > 0)
    _, turned = rotation_residuals(table.points1, table.points2, inliers, scale, threshold)
    flat = homography_residuals(table.points1, table.points2, inliers, extent, threshold)
    return ViewGraph(
        poses=poses,
        inliers=inliers,
        angles=torch.acos(cosine.clamp(-1.0, 1.0)),
        support=((1.0 - (residuals / threshold).square()).clamp(min=0.0) * inliers).sum(1),
        parallax=((turned > 2.0 * threshold) & inliers).sum(1).to(torch.float64),
        relief=((flat > 2.0 * threshold) & inliers).sum(1).to(torch.float64),
    )
