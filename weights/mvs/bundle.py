"""Bundle adjustment: joint optimisation of camera poses, lenses and points.

Levenberg-Marquardt with the points eliminated by the Schur complement and Huber's loss (Triggs et
al., "Bundle adjustment - a modern synthesis", 2000). A point is seen by few cameras, so the
complement is summed over pairs of observations of the same point.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.contract.stopping import check
from weights.mvs.geometry import inverse_3x3, rotation_from_vector
from weights.mvs.lenses import MOST_BEND, Lenses, focal_lengths, recorded, relative_square, straight

PAIRS_AT_ONCE: int = 40000
"""Pairs of observations per pass of the Schur complement, which bounds its memory."""


class Observations(NamedTuple):
    """`O` observations of points in cameras, ordered by point."""

    camera: Tensor
    """int64 [O]."""
    point: Tensor
    """int64 [O], ascending."""
    pixels: Tensor
    """float64 [O, 2], from the image centre."""


class Scene(NamedTuple):
    """Camera poses, lenses and points."""

    rotations: Tensor
    """float64 [N, 3, 3], world to camera."""
    translations: Tensor
    """float64 [N, 3]."""
    lenses: Lenses
    points: Tensor
    """float64 [T, 3]."""


class LensPrior(NamedTuple):
    """What is known about the lenses of the groups before the adjustment. Weights are inverse
    variances in squared pixels; a weight of 0 keeps the value."""

    log_focal: Tensor
    """float64 [G], mean."""
    focal_weight: Tensor
    """float64 [G]."""
    bend_weight: Tensor
    """float64 [G]; the mean is 0."""


class NormalEquations(NamedTuple):
    """Gauss-Newton system; `D = 6 N + 2 G` unknowns of cameras: rotation and translation of each
    camera, then log focal length and bend of each group."""

    cameras: Tensor
    """float64 [D, D]."""
    camera_gradient: Tensor
    """float64 [D]."""
    points: Tensor
    """float64 [T, 3, 3]."""
    point_gradient: Tensor
    """float64 [T, 3]."""
    by_observation: Tensor
    """float64 [O, 6, 3], pose of the observing camera against the point."""
    by_lens: Tensor
    """float64 [T, 2 G, 3], lenses against the point."""


def reprojection(scene: Scene, observations: Observations) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rotated points `R X` [O, 3], depths [O], projections [O, 2] by lenses without distortion, and
    reprojection residuals [O, 2] in pixels as recorded."""
    camera = observations.camera
    turned = (scene.rotations[camera] @ scene.points[observations.point][:, :, None])[:, :, 0]
    placed = turned + scene.translations[camera]
    depth = placed[:, 2]
    lenses = scene.lenses
    focal = focal_lengths(lenses)[camera]
    projected = placed[:, :2] * (focal / depth.clamp(min=1e-3))[:, None]
    bend = lenses.bend[lenses.group[camera]]
    residuals = projected - straight(observations.pixels, bend, lenses.extent)
    residuals = recorded(residuals, observations.pixels, bend, lenses.extent)
    # Points behind the camera have no projection: a large constant residual rejects such steps.
    behind = (depth <= 1e-3)[:, None]
    residuals = torch.where(behind, residuals.clamp(-50.0, 50.0) + 50.0, residuals)
    return turned, depth, projected, residuals


def huber_cost(residuals: Tensor, huber: float) -> Tensor:
    """Sum of Huber's loss over residual lengths [O]."""
    length = (residuals[:, 0].square() + residuals[:, 1].square()).sqrt()
    return torch.where(length < huber, 0.5 * length.square(), huber * (length - 0.5 * huber)).sum()


def linearise(scene: Scene, observations: Observations, huber: float) -> NormalEquations:
    """Normal equations at a scene; rotations are updated by a rotation vector from the left."""
    cameras, points = scene.rotations.size(0), scene.points.size(0)
    lenses = scene.lenses
    groups = lenses.log_focal.size(0)
    camera, point = observations.camera, observations.point
    group = lenses.group[camera]
    turned, depth, projected, residuals = reprojection(scene, observations)
    slope = 1.0 / depth.clamp(min=1e-3)
    focal_slope = focal_lengths(lenses)[camera] * slope
    zero = torch.zeros_like(depth)
    by_position = torch.stack(
        [
            torch.stack([focal_slope, zero, -projected[:, 0] * slope], dim=-1),
            torch.stack([zero, focal_slope, -projected[:, 1] * slope], dim=-1),
        ],
        dim=1,
    )
    # (by_position @ -[Y]x) row by row is cross(Y, row).
    by_rotation = torch.linalg.cross(turned[:, None, :].expand_as(by_position), by_position, dim=-1)
    by_point = by_position @ scene.rotations[camera]
    pixels = observations.pixels
    by_bend = -pixels * relative_square(pixels, lenses.extent)[:, None]
    length = (residuals[:, 0].square() + residuals[:, 1].square()).clamp(min=1e-18).sqrt()
    weights = (huber / length).clamp(max=1.0)
    slopes = torch.cat(
        [by_rotation, by_position, by_point, projected[:, :, None], by_bend[:, :, None]], dim=2
    )
    bend = lenses.bend[group][:, None]
    slopes = recorded(slopes.transpose(1, 2), pixels[:, None], bend, lenses.extent).transpose(1, 2)
    # One block of camera, point, lens and residual columns: 6 + 3 + 2 + 1.
    rows = torch.cat([slopes, residuals[:, :, None]], dim=2)
    x, y = rows[:, 0], rows[:, 1]
    weighted = rows * weights[:, None, None]
    products = weighted[:, 0, :, None] * x[:, None, :]
    products.addcmul_(weighted[:, 1, :, None], y[:, None, :])
    device, dtype = rows.device, rows.dtype
    by_camera = torch.zeros(cameras, 12, 12, dtype=dtype, device=device)
    by_camera.index_add_(0, camera, products)
    per_point = torch.zeros(points, 3, 12, dtype=dtype, device=device)
    per_point.index_add_(0, point, products[:, 6:9])
    by_lens = torch.zeros(points * groups, 2, 3, dtype=dtype, device=device)
    by_lens.index_add_(0, point * groups + group, products[:, 9:11, 6:9])

    unknowns = 6 * cameras + 2 * groups
    system = torch.zeros(unknowns, unknowns, dtype=dtype, device=device)
    index = torch.arange(6 * cameras, device=device).reshape(cameras, 6)
    lens = 6 * cameras + 2 * lenses.group[:, None] + torch.arange(2, device=device)[None]
    system[index[:, :, None], index[:, None, :]] = by_camera[:, :6, :6]
    system[index[:, :, None], lens[:, None, :]] = by_camera[:, :6, 9:11]
    system[lens[:, :, None], index[:, None, :]] = by_camera[:, 9:11, :6]
    per_group = torch.zeros(groups, 2, 3, dtype=dtype, device=device)
    per_group.index_add_(0, lenses.group, by_camera[:, 9:11, 9:12])
    own = 6 * cameras + torch.arange(2 * groups, device=device).reshape(groups, 2)
    system[own[:, :, None], own[:, None, :]] = per_group[:, :, :2]
    gradient = torch.cat([by_camera[:, :6, 11].reshape(-1), per_group[:, :, 2].reshape(-1)])
    return NormalEquations(
        system,
        gradient,
        per_point[:, :, 6:9],
        per_point[:, :, 11],
        products[:, :6, 6:9],
        by_lens.reshape(points, 2 * groups, 3),
    )


def damped(blocks: Tensor, damping: float) -> Tensor:
    """Square matrices [..., n, n] with Levenberg-Marquardt damping on the diagonal."""
    return blocks + torch.diag_embed(blocks.diagonal(dim1=-2, dim2=-1) * damping + 1e-9)


def observation_pairs(observations: Observations, fixed: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of different observations of the same point by cameras that are not `fixed` (bool
    [N]), each once: two int64 [P]."""
    rows = torch.nonzero(~fixed[observations.camera])[:, 0]
    _, counts = torch.unique_consecutive(observations.point[rows], return_counts=True)
    ends = counts.cumsum(0)
    index = torch.arange(rows.size(0), device=rows.device)
    later = ends.repeat_interleave(counts) - index - 1
    first = index.repeat_interleave(later)
    starts = later.cumsum(0) - later
    second = torch.arange(first.size(0), device=rows.device) - starts[first] + first + 1
    return rows[first], rows[second]


def free_unknowns(fixed: Tensor, prior: LensPrior) -> Tensor:
    """float64 [D], 1 for unknowns that may change; `fixed` is bool [N]."""
    poses = (~fixed).to(torch.float64).repeat_interleave(6)
    lenses = torch.stack([prior.focal_weight, prior.bend_weight], dim=1).reshape(-1)
    return torch.cat([poses, (lenses > 0.0).to(torch.float64)])


def reduced_system(
    equations: NormalEquations,
    observations: Observations,
    pairs: tuple[Tensor, Tensor],
    point_inverse: Tensor,
    free: Tensor,
    damping: float,
    at_once: int = PAIRS_AT_ONCE,
) -> tuple[Tensor, Tensor]:
    """The Schur complement [D, D] for the free camera unknowns (identity for the others) and its
    gradient [D]. `pairs` is the result of `observation_pairs`."""
    camera, point = observations.camera, observations.point
    lens_count = equations.by_lens.size(1)
    cameras = (free.size(0) - lens_count) // 6
    dtype, device = free.dtype, free.device
    carried = equations.by_observation @ point_inverse[point]
    lens_carried = equations.by_lens @ point_inverse

    blocks = torch.zeros(cameras * cameras, 36, dtype=dtype, device=device)
    first, second = pairs
    begin = 0
    while begin < first.size(0):
        one, two = first[begin : begin + at_once], second[begin : begin + at_once]
        left, right = carried[one], equations.by_observation[two]
        product = left[:, :, None, 0] * right[:, None, :, 0]
        product.addcmul_(left[:, :, None, 1], right[:, None, :, 1])
        product.addcmul_(left[:, :, None, 2], right[:, None, :, 2])
        blocks.index_add_(0, camera[one] * cameras + camera[two], product.reshape(-1, 36))
        begin += at_once
    # Each pair stands for both orders.
    grid = blocks.reshape(cameras, cameras, 6, 6)
    grid = grid + grid.permute(1, 0, 3, 2)
    own = torch.zeros(cameras, 6, 6, dtype=dtype, device=device)
    own.index_add_(0, camera, carried @ equations.by_observation.transpose(1, 2))
    diagonal = torch.arange(cameras, device=device)
    grid[diagonal, diagonal] += own

    coupling = torch.zeros(cameras, 6, lens_count, dtype=dtype, device=device)
    coupling.index_add_(0, camera, carried @ equations.by_lens[point].transpose(1, 2))
    flat = coupling.reshape(6 * cameras, lens_count)
    # One product: one for each point would take a matrix of all lenses for each.
    carried_rows = lens_carried.transpose(0, 1).reshape(lens_count, -1)
    lenses = carried_rows @ equations.by_lens.transpose(0, 1).reshape(lens_count, -1).t()
    poses = grid.permute(0, 2, 1, 3).reshape(6 * cameras, 6 * cameras)
    upper = torch.cat([poses, flat], dim=1)
    lower = torch.cat([flat.t(), lenses], dim=1)
    system = damped(equations.cameras, damping) - torch.cat([upper, lower], dim=0)

    towards = torch.zeros(cameras, 6, dtype=dtype, device=device)
    pulled = (carried @ equations.point_gradient[point][:, :, None])[:, :, 0]
    towards.index_add_(0, camera, pulled)
    by_lenses = (lens_carried @ equations.point_gradient[:, :, None])[:, :, 0].sum(0)
    gradient = equations.camera_gradient - torch.cat([towards.reshape(-1), by_lenses])
    system = system * free[:, None] * free[None, :] + torch.diag(1.0 - free)
    return system, gradient * free


def prior_cost(lenses: Lenses, prior: LensPrior) -> Tensor:
    """Cost of the lenses' distance from the prior, float64 []."""
    focal = prior.focal_weight * (lenses.log_focal - prior.log_focal).square()
    return 0.5 * (focal + prior.bend_weight * lenses.bend.square()).sum()


def adjust(
    scene: Scene,
    observations: Observations,
    fixed: Tensor,
    prior: LensPrior,
    huber: float,
    iterations: int,
    settled: float,
    most_bend: float = MOST_BEND,
    stop: Tensor | None = None,
) -> Scene:
    """Minimise the robust reprojection error.

    Args:
        scene: Initial values.
        observations: Observations to fit.
        fixed: bool [N], cameras to keep.
        prior: Prior of the lenses.
        huber: Residual length in pixels above which the loss is linear.
        iterations: Maximum number of steps.
        settled: Relative decrease of the error in one step below which it ends.
        stop: See `stopping.check`.
    """
    free = free_unknowns(fixed, prior)
    cameras = scene.rotations.size(0)
    pairs = observation_pairs(observations, fixed)
    weights = torch.stack([prior.focal_weight, prior.bend_weight], dim=1).reshape(-1)
    _, _, _, residuals = reprojection(scene, observations)
    cost = huber_cost(residuals, huber) + prior_cost(scene.lenses, prior)
    damping = 1e-3
    for _iteration in range(iterations):
        check(stop)
        equations = linearise(scene, observations, huber)
        lenses = scene.lenses
        equations.cameras.diagonal()[6 * cameras :].add_(weights)
        off = torch.stack([lenses.log_focal - prior.log_focal, lenses.bend], dim=1).reshape(-1)
        equations.camera_gradient[6 * cameras :].add_(weights * off)
        gain = -1.0
        for _attempt in range(5):
            inverse = inverse_3x3(damped(equations.points, damping))
            system, gradient = reduced_system(
                equations, observations, pairs, inverse, free, damping
            )
            step, _ = torch.linalg.solve_ex(system, -gradient)
            step = torch.nan_to_num(step, 0.0, 0.0, 0.0) * free
            per_camera = step[: 6 * cameras].reshape(cameras, 6)
            pulled = equations.point_gradient.clone()
            moved = per_camera[observations.camera][:, None, :] @ equations.by_observation
            pulled.index_add_(0, observations.point, moved[:, 0])
            pulled = pulled + (equations.by_lens * step[None, 6 * cameras :, None]).sum(1)
            shift = -(inverse @ pulled[:, :, None])[:, :, 0]
            turn = rotation_from_vector(per_camera[:, :3].clamp(-0.5, 0.5))
            by_lens = step[6 * cameras :].reshape(-1, 2)
            trial = Scene(
                turn @ scene.rotations,
                scene.translations + per_camera[:, 3:],
                Lenses(
                    lenses.log_focal + by_lens[:, 0].clamp(-0.2, 0.2),
                    (lenses.bend + by_lens[:, 1].clamp(-0.1, 0.1)).clamp(-most_bend, most_bend),
                    lenses.group,
                    lenses.extent,
                ),
                scene.points + torch.nan_to_num(shift, 0.0, 0.0, 0.0),
            )
            _, _, _, residuals = reprojection(trial, observations)
            trial_cost = huber_cost(residuals, huber) + prior_cost(trial.lenses, prior)
            if bool(trial_cost < cost):
                gain = float((cost - trial_cost) / cost.clamp(min=1e-12))
                scene, cost = trial, trial_cost
                damping = max(damping / 5.0, 1e-9)
                break
            damping = damping * 8.0
        if gain < settled:
            break
    return scene
