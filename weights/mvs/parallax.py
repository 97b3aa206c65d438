"""Parallax between two frames: compare the epipolar geometry with models without depth, a pure
rotation and a homography (a plane, or a rotation with any focal length)."""

import torch
import torch.nn.functional as functional
from torch import Tensor

from weights.mvs.geometry import nearest_rotation, project, rays_of


def rotation_residuals(
    points1: Tensor, points2: Tensor, valid: Tensor, focal: Tensor, threshold: float
) -> tuple[Tensor, Tensor]:
    """The rotation [P, 3, 3] that fits most of the correspondences [P, M, 2], by reweighted least
    squares (Kabsch's solution), and its residuals [P, M] in pixels."""
    rays1 = functional.normalize(rays_of(points1, focal), dim=-1)
    rays2 = functional.normalize(rays_of(points2, focal), dim=-1)
    weights = valid.to(points1.dtype)
    rotations = nearest_rotation(rays2.transpose(1, 2) @ (rays1 * weights[..., None]))
    distances = torch.zeros_like(weights)
    for iteration in range(10):
        rotations = nearest_rotation(rays2.transpose(1, 2) @ (rays1 * weights[..., None]))
        moved = project(rays1 @ rotations.transpose(1, 2), focal)
        distances = (moved - points2).square().sum(-1).sqrt()
        # Anneal from a wide scale down to the threshold, so that the result does not depend on the
        # initial value.
        scale = threshold * max(1.0, 16.0 * 0.6**iteration)
        weights = (1.0 + (distances / scale).square()).pow(-2) * valid
    return rotations, distances


def homography_residuals(
    points1: Tensor, points2: Tensor, valid: Tensor, extent: float, threshold: float
) -> Tensor:
    """Residuals [P, M] in pixels of the best homography of each pair, by reweighted direct linear
    transformation (Hartley and Zisserman 2003, section 4.1)."""
    one = torch.ones_like(points1[..., :1])
    source = torch.cat([points1 / extent, one], dim=-1)
    x, y = points2[..., :1] / extent, points2[..., 1:] / extent
    zero = torch.zeros_like(source)
    row1 = torch.cat([source, zero, -x * source], dim=-1)
    row2 = torch.cat([zero, source, -y * source], dim=-1)
    weights = valid.to(points1.dtype)
    distances = torch.zeros_like(weights)
    for iteration in range(12):
        normal = row1.transpose(1, 2) @ (row1 * weights[..., None])
        normal = normal + row2.transpose(1, 2) @ (row2 * weights[..., None])
        vectors = torch.linalg.eigh(torch.nan_to_num(normal))[1]
        matrices = vectors[:, :, 0].reshape(-1, 3, 3)
        moved = source @ matrices.transpose(1, 2)
        depth = moved[..., 2:]
        depth = torch.where(depth.abs() < 1e-9, torch.full_like(depth, 1e-9), depth)
        distances = (
            extent * (moved[..., :2] / depth - torch.cat([x, y], -1)).square().sum(-1).sqrt()
        )
        scale = threshold * max(1.0, 16.0 * 0.65**iteration)
        weights = (1.0 + (distances / scale).square()).pow(-2) * valid
    return distances
