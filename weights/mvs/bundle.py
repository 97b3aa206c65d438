"""Bundle adjustment: joint optimisation of camera poses, one shared focal length and points.

Levenberg-Marquardt with the points eliminated by the Schur complement and Huber's loss (Triggs et
al., "Bundle adjustment - a modern synthesis", 2000).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.geometry import inverse_3x3, rotation_from_vector


class Observations(NamedTuple):
    """`O` observations of points in cameras."""

    camera: Tensor
    """int64 [O]."""
    point: Tensor
    """int64 [O]."""
    pixels: Tensor
    """float64 [O, 2], from the image centre."""


class Scene(NamedTuple):
    """Camera poses, the focal length and points."""

    rotations: Tensor
    """float64 [N, 3, 3], world to camera."""
    translations: Tensor
    """float64 [N, 3]."""
    log_focal: Tensor
    """float64 [], natural logarithm of the focal length in pixels."""
    points: Tensor
    """float64 [T, 3]."""


class NormalEquations(NamedTuple):
    """Gauss-Newton system; `D = 6 N + 1` camera unknowns (rotation and translation of each camera,
    then the log of the focal length)."""

    cameras: Tensor
    """float64 [D, D]."""
    camera_gradient: Tensor
    """float64 [D]."""
    points: Tensor
    """float64 [T, 3, 3]."""
    point_gradient: Tensor
    """float64 [T, 3]."""
    mixed: Tensor
    """float64 [T, D, 3]."""


def reprojection(scene: Scene, observations: Observations) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated points `R X` [O, 3], depths [O] and reprojection residuals [O, 2] in pixels."""
    rotations, points = scene.rotations[observations.camera], scene.points[observations.point]
    turned = (rotations @ points[:, :, None])[:, :, 0]
    placed = turned + scene.translations[observations.camera]
    depth = placed[:, 2]
    projected = scene.log_focal.exp() * placed[:, :2] / depth.clamp(min=1e-3)[:, None]
    residuals = projected - observations.pixels
    # Points behind the camera have no projection: a large constant residual rejects such steps.
    behind = (depth <= 1e-3)[:, None]
    return turned, depth, torch.where(behind, residuals.clamp(-50.0, 50.0) + 50.0, residuals)


def huber_cost(residuals: Tensor, huber: float) -> Tensor:
    """Sum of Huber's loss over residual lengths [O]."""
    length = (residuals[:, 0].square() + residuals[:, 1].square()).sqrt()
    return torch.where(length < huber, 0.5 * length.square(), huber * (length - 0.5 * huber)).sum()


def linearise(scene: Scene, observations: Observations, huber: float) -> NormalEquations:
    """Normal equations at a scene; rotations are updated by a rotation vector from the left."""
    cameras, points = scene.rotations.size(0), scene.points.size(0)
    unknowns = 6 * cameras + 1
    turned, depth, residuals = reprojection(scene, observations)
    focal = scene.log_focal.exp()
    inverse_depth = focal / depth.clamp(min=1e-3)
    projected = residuals + observations.pixels
    zero = torch.zeros_like(depth)
    slope = inverse_depth / focal
    by_position = torch.stack(
        [
            torch.stack([inverse_depth, zero, -projected[:, 0] * slope], dim=-1),
            torch.stack([zero, inverse_depth, -projected[:, 1] * slope], dim=-1),
        ],
        dim=1,
    )
    # (by_position @ -[Y]x) row by row is cross(Y, row).
    by_rotation = torch.linalg.cross(turned[:, None, :].expand_as(by_position), by_position, dim=-1)
    by_camera = torch.cat([by_rotation, by_position], dim=2)
    rotation = scene.rotations[observations.camera]
    by_point = by_position @ rotation
    length = (residuals[:, 0].square() + residuals[:, 1].square()).clamp(min=1e-18).sqrt()
    weights = (huber / length).clamp(max=1.0)
    # One block of camera, point, focal length and residual columns: 6 + 3 + 1 + 1.
    rows = torch.cat([by_camera, by_point, projected[:, :, None], residuals[:, :, None]], dim=2)
    x, y = rows[:, 0], rows[:, 1]
    weighted = rows * weights[:, None, None]
    products = weighted[:, 0, :, None] * x[:, None, :]
    products.addcmul_(weighted[:, 1, :, None], y[:, None, :])
    device = rows.device
    by_cameras = torch.zeros(cameras, 11, 11, dtype=rows.dtype, device=device)
    by_cameras.index_add_(0, observations.camera, products)
    per_point = torch.zeros(points, 3, 11, dtype=rows.dtype, device=device)
    per_point.index_add_(0, observations.point, products[:, 6:9])
    system = torch.zeros(unknowns, unknowns, dtype=rows.dtype, device=device)
    index = torch.arange(6 * cameras, device=device).reshape(cameras, 6)
    system[index[:, :, None], index[:, None, :]] = by_cameras[:, :6, :6]
    system[index, unknowns - 1] = by_cameras[:, :6, 9]
    system[unknowns - 1, index] = by_cameras[:, :6, 9]
    system[unknowns - 1, unknowns - 1] = by_cameras[:, 9, 9].sum()
    gradient = torch.cat([by_cameras[:, :6, 10].reshape(-1), by_cameras[:, 9, 10].sum()[None]])
    mixed = torch.zeros(points * cameras, 6, 3, dtype=rows.dtype, device=device)
    mixed.index_add_(0, observations.point * cameras + observations.camera, products[:, :6, 6:9])
    mixed = torch.cat([mixed.reshape(points, 6 * cameras, 3), per_point[:, None, :, 9]], dim=1)
    return NormalEquations(system, gradient, per_point[:, :, 6:9], per_point[:, :, 10], mixed)


def damped(blocks: Tensor, damping: float) -> Tensor:
    """Square matrices [..., n, n] with Levenberg-Marquardt damping on the diagonal."""
    return blocks + torch.diag_embed(blocks.diagonal(dim1=-2, dim2=-1) * damping + 1e-9)


def camera_mask(fixed: Tensor, focal_is_free: bool) -> Tensor:
    """float64 [6 N + 1], 1 for unknowns that may change; `fixed` is bool [N]."""
    free = (~fixed).to(torch.float64).repeat_interleave(6)
    last = torch.ones_like(free[:1]) if focal_is_free else torch.zeros_like(free[:1])
    return torch.cat([free, last])


def reduced_system(
    equations: NormalEquations, point_inverse: Tensor, free: Tensor, damping: float
) -> tuple[Tensor, Tensor]:
    """The Schur complement [D, D] for the free camera unknowns (identity for the others) and its
    gradient [D]."""
    unknowns = free.size(0)
    carried = equations.mixed @ point_inverse
    flat = carried.permute(1, 0, 2).reshape(unknowns, -1)
    cameras = damped(equations.cameras, damping)
    cameras = cameras - flat @ equations.mixed.permute(1, 0, 2).reshape(unknowns, -1).t()
    gradient = equations.camera_gradient - flat @ equations.point_gradient.reshape(-1)
    cameras = cameras * free[:, None] * free[None, :] + torch.diag(1.0 - free)
    return cameras, gradient * free


def adjust(
    scene: Scene,
    observations: Observations,
    fixed: Tensor,
    focal_mean: Tensor,
    focal_weight: float,
    huber: float,
    iterations: int,
) -> Scene:
    """Minimise the robust reprojection error.

    Args:
        scene: Initial values.
        observations: Observations to fit.
        fixed: bool [N], cameras to keep.
        focal_mean: float64 [], prior mean of the log of the focal length.
        focal_weight: Weight of that prior in squared pixels; 0 keeps the focal length fixed.
        huber: Residual length in pixels above which the loss is linear.
        iterations: Maximum number of steps.
    """
    free = camera_mask(fixed, focal_weight > 0.0)
    cameras = scene.rotations.size(0)
    _, _, residuals = reprojection(scene, observations)
    cost = huber_cost(residuals, huber)
    cost = cost + 0.5 * focal_weight * (scene.log_focal - focal_mean).square()
    damping = 1e-3
    for _iteration in range(iterations):
        equations = linearise(scene, observations, huber)
        equations.cameras[-1, -1] += focal_weight
        equations.camera_gradient[-1] += focal_weight * (scene.log_focal - focal_mean)
        gain = -1.0
        for _attempt in range(5):
            inverse = inverse_3x3(damped(equations.points, damping))
            system, gradient = reduced_system(equations, inverse, free, damping)
            step, _ = torch.linalg.solve_ex(system, -gradient)
            step = torch.nan_to_num(step, 0.0, 0.0, 0.0) * free
            pulled = (equations.mixed * step[None, :, None]).sum(1)
            shift = -(inverse @ (equations.point_gradient + pulled)[:, :, None])[:, :, 0]
            per_camera = step[:-1].reshape(cameras, 6)
            turn = rotation_from_vector(per_camera[:, :3].clamp(-0.5, 0.5))
            trial = Scene(
                rotations=turn @ scene.rotations,
                translations=scene.translations + per_camera[:, 3:],
                log_focal=scene.log_focal + step[-1].clamp(-0.2, 0.2),
                points=scene.points + torch.nan_to_num(shift, 0.0, 0.0, 0.0),
            )
            _, _, residuals = reprojection(trial, observations)
            trial_cost = huber_cost(residuals, huber)
            trial_cost = trial_cost + 0.5 * focal_weight * (trial.log_focal - focal_mean).square()
            if bool(trial_cost < cost):
                gain = float((cost - trial_cost) / cost.clamp(min=1e-12))
                scene, cost = trial, trial_cost
                damping = max(damping / 5.0, 1e-9)
                break
            damping = damping * 8.0
        if gain < 1e-4:
            break
    return scene
