"""Resection: the pose of a new camera from known points and candidate rotations."""

import torch
from torch import Tensor

from weights.mvs.geometry import (
    cross_matrix,
    inverse_3x3,
    project,
    rays_of,
    rotation_from_vector,
    uniform_hash,
)


def locate(
    rotations: Tensor, focal: Tensor, points: Tensor, pixels: Tensor, threshold: float
) -> tuple[Tensor, Tensor]:
    """The best of the candidate rotations [C, 3, 3] and a translation for it, by RANSAC over three
    points of [M, 3] seen at [M, 2] (with the rotation known, the translation is linear)."""
    count = points.size(0)
    samples = 150
    draws = uniform_hash(samples, 3, count, points.device)
    index = (draws * count).long().clamp(max=count - 1)
    crosses = cross_matrix(rays_of(pixels, focal))
    identity = torch.eye(3, dtype=points.dtype, device=points.device)
    turned = torch.einsum("cij,mj->cmi", rotations, points)
    right = -(crosses[None] * turned[:, :, None, :]).sum(-1)
    squares = crosses.transpose(1, 2) @ crosses
    normal = squares[index].sum(1) + 1e-9 * identity
    sides = (crosses.transpose(1, 2)[None] * right[:, :, None, :]).sum(-1)[:, index].sum(2)
    translations = (inverse_3x3(normal)[None] @ sides[..., None])[..., 0]
    placed = turned[:, None] + translations[:, :, None, :]
    errors = (project(placed, focal) - pixels).square().sum(-1)
    scores = (1.0 - errors / (threshold * threshold)).clamp(min=0.0)
    total = (scores * (placed[..., 2] > 1e-3)).sum(-1)
    best = int(total.argmax())
    return rotations[best // samples], translations[best // samples, best % samples]


def refine_pose(
    rotation: Tensor,
    translation: Tensor,
    focal: Tensor,
    points: Tensor,
    pixels: Tensor,
    threshold: float,
) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt on the robust (Geman-McClure) reprojection error of one camera."""
    damping = 1e-3
    best_rotation, best_translation = rotation, translation
    lowest = float("inf")
    limit = threshold * threshold
    for _iteration in range(15):
        turned = points @ rotation.t()
        placed = turned + translation
        projected = project(placed, focal)
        residuals = projected - pixels
        squared = residuals.square().sum(1)
        cost = float((squared / (squared + limit)).sum())
        if cost < lowest:
            settled = lowest - cost < 1e-5 * cost
            lowest, best_rotation, best_translation = cost, rotation, translation
            damping = max(damping / 5.0, 1e-7)
            if settled:
                break
        else:
            damping = damping * 10.0
            if damping > 1e4:
                break
            turned = points @ best_rotation.t()
            placed = turned + best_translation
            projected = project(placed, focal)
            residuals = projected - pixels
            squared = residuals.square().sum(1)
        weights = (limit / (squared + limit)).square()
        slope = 1.0 / placed[:, 2].clamp(min=1e-3)
        zero = torch.zeros_like(slope)
        by_position = torch.stack(
            [
                torch.stack([focal * slope, zero, -projected[:, 0] * slope], dim=-1),
                torch.stack([zero, focal * slope, -projected[:, 1] * slope], dim=-1),
            ],
            dim=1,
        )
        by_rotation = torch.linalg.cross(
            turned[:, None, :].expand_as(by_position), by_position, dim=-1
        )
        rows = torch.cat([by_rotation, by_position], dim=2)
        weighted = (rows * weights[:, None, None]).reshape(-1, 6)
        normal = weighted.t() @ rows.reshape(-1, 6)
        gradient = weighted.t() @ residuals.reshape(-1)
        raised = normal + torch.diag(normal.diagonal() * damping + 1e-8)
        step, _ = torch.linalg.solve_ex(raised, -gradient)
        step = torch.nan_to_num(step, 0.0, 0.0, 0.0)
        rotation = rotation_from_vector(step[None, :3].clamp(-0.5, 0.5))[0] @ best_rotation
        translation = best_translation + step[3:]
    return best_rotation, best_translation
