"""Points from the rays of many cameras, each seen by few."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

from weights.mvs.bundle import Observations, Scene, reprojection
from weights.mvs.geometry import inverse_3x3, rays_of
from weights.mvs.lenses import focal_lengths, straight

LEAST_ANGLE: float = math.radians(1.0)
"""Least angle in radians between the rays to a point."""


def centres_of(scene: Scene) -> Tensor:
    """Optical centres [N, 3] of the cameras."""
    return -(scene.rotations.transpose(1, 2) @ scene.translations[:, :, None])[:, :, 0]


def intersect(scene: Scene, observations: Observations, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The points [T, 3] nearest to their rays, which count with `weights` [O], and about the widest
    angle between two rays of each, radians [T]."""
    camera, point = observations.camera, observations.point
    lenses = scene.lenses
    focal = focal_lengths(lenses)[camera][:, None]
    ideal = straight(observations.pixels, lenses.bend[lenses.group[camera]], lenses.extent)
    turned = scene.rotations[camera].transpose(1, 2)
    directions = (turned @ rays_of(ideal, focal)[:, :, None])[:, :, 0]
    directions = functional.normalize(directions, dim=-1)
    centres = -(turned @ scene.translations[camera][:, :, None])[:, :, 0]
    identity = torch.eye(3, dtype=directions.dtype, device=directions.device)
    across = (identity - directions[:, :, None] * directions[:, None, :]) * weights[:, None, None]
    count = scene.points.size(0)
    normal = torch.zeros(count, 3, 3, dtype=directions.dtype, device=directions.device)
    normal.index_add_(0, point, across)
    right = torch.zeros_like(scene.points)
    right.index_add_(0, point, (across @ centres[:, :, None])[:, :, 0])
    points = (inverse_3x3(normal + 1e-10 * identity) @ right[:, :, None])[:, :, 0]
    middle = torch.zeros_like(scene.points)
    middle.index_add_(0, point, directions * weights[:, None])
    cosine = (directions * functional.normalize(middle, dim=-1)[point]).sum(-1)
    cosine = torch.where(weights > 1e-3, cosine, torch.ones_like(cosine))
    narrowest = torch.ones(count, dtype=directions.dtype, device=directions.device)
    narrowest = narrowest.scatter_reduce(0, point, cosine, "amin")
    return torch.nan_to_num(points), 2.0 * torch.acos(narrowest.clamp(-1.0, 1.0))


def residual_lengths(scene: Scene, observations: Observations) -> Tensor:
    """Reprojection errors in pixels [O]; infinite for points behind the camera."""
    _, depth, _, residuals = reprojection(scene, observations)
    length = residuals.square().sum(1).sqrt()
    return torch.where(depth > 1e-3, length, torch.full_like(length, float("inf")))


def with_points(
    scene: Scene,
    observations: Observations,
    scale: float,
    count: int = -1,
    least_angle: float = LEAST_ANGLE,
) -> tuple[Scene, Tensor]:
    """The scene with a point for each track, where most of its observations agree within `scale`
    pixels, and which tracks have rays that are wide enough apart, bool [T]."""
    if count < 0:
        count = 0
    if count == 0 and observations.point.size(0) > 0:
        count = int(observations.point[-1]) + 1
    none = torch.zeros(count, 3, dtype=torch.float64, device=observations.pixels.device)
    scene = Scene(scene.rotations, scene.translations, scene.lenses, none)
    weights = torch.ones_like(observations.pixels[:, 0])
    angles = none[:, 0]
    for _pass in range(4):
        points, angles = intersect(scene, observations, weights)
        scene = Scene(scene.rotations, scene.translations, scene.lenses, points)
        errors = residual_lengths(scene, observations)
        weights = (1.0 + (errors / scale).square()).pow(-2).clamp(min=1e-6)
    return scene, angles > least_angle
