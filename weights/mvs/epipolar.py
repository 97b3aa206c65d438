"""Relative poses of pairs of frames: RANSAC with the five-point solver, then joint refinement of
all pairs with one shared focal length."""

from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor

from weights.contract.stopping import check
from weights.mvs.calibration import FocalPrior
from weights.mvs.correspondences import Correspondences
from weights.mvs.essential import decompose, five_point, sampson_squared
from weights.mvs.geometry import cross_matrix, rays_of, rotation_from_vector, uniform_hash

SOLVED_TOGETHER = 2000
"""Samples that are solved in one step, which nothing can interrupt."""


class RelativePoses(NamedTuple):
    """Poses of the second frame of each of `P` pairs relative to the first."""

    rotations: Tensor
    """float64 [P, 3, 3], first camera to second camera."""
    translations: Tensor
    """float64 [P, 3], unit length."""
    log_focal: Tensor
    """float64 [], natural logarithm of the shared focal length in pixels."""
    focal_information: Tensor
    """float64 [], inverse variance of `log_focal` for noise of half a pixel, without the prior."""


def draw_samples(ratio: Tensor, valid: Tensor, count: int, seed: int) -> Tensor:
    """Weighted samples of five distinct correspondences, int64 [count, 5].

    Distinctive correspondences have higher weights. Adding Gumbel noise to log weights and taking
    the largest draws without replacement.
    """
    weight = (0.95 - ratio).clamp(min=0.01).square().log()
    weight = torch.where(valid, weight, torch.full_like(weight, -1e9))
    noise = uniform_hash(count, ratio.size(0), seed, ratio.device)
    keys = weight[None] - (-noise.log()).log()
    return torch.topk(keys, 5, dim=1).indices


def best_matrices(
    matrices: Tensor, rays1: Tensor, rays2: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """The best (at most 40) of the essential matrices [k, 3, 3], best first, with their truncated
    scores over all correspondences of rays [M, 3]; `limit` is a squared distance."""
    coarse1, coarse2 = rays1.to(torch.float32), rays2.to(torch.float32)
    few = min(128, rays1.size(0))
    errors = sampson_squared(matrices.to(torch.float32), coarse1[:few], coarse2[:few])
    scores = (1.0 - errors / limit).clamp(min=0.0).sum(1)
    best = torch.topk(scores, min(40, scores.size(0))).indices
    errors = sampson_squared(matrices[best].to(torch.float32), coarse1, coarse2)
    scores = (1.0 - errors / limit).clamp(min=0.0).sum(1)
    order = torch.argsort(scores, descending=True, stable=True)
    return matrices[best[order]], scores[order]


def hypotheses(
    points1: Tensor, points2: Tensor, samples: Tensor, focal: float, threshold: float
) -> tuple[Tensor, Tensor]:
    """The best (at most 40) essential matrices [k, 3, 3] from samples of the correspondences [M,
    2], best first, with their truncated scores [k] over all correspondences."""
    one = torch.ones_like(points1[:, :1])
    rays1 = torch.cat([points1 / focal, one], dim=1)
    rays2 = torch.cat([points2 / focal, one], dim=1)
    matrices, real = five_point(rays1[samples], rays2[samples])
    return best_matrices(matrices[real], rays1, rays2, (threshold / focal) ** 2)


def draw_for_pairs(table: Correspondences, count: int) -> Tensor:
    """Samples of five correspondences for each pair, int64 [P, count, 5]."""
    samples: list[Tensor] = []
    for pair in range(table.first.size(0)):
        samples.append(draw_samples(table.ratio[pair], table.valid[pair], count, pair))
    return torch.stack(samples)


def ransac(
    table: Correspondences,
    samples: Tensor,
    focal: float,
    threshold: float,
    stop: Tensor | None = None,
    solved_together: int = SOLVED_TOGETHER,
) -> tuple[Tensor, Tensor]:
    """Relative poses [P, 3, 3] and [P, 3] of every pair for one focal length, from samples
    [P, S, 5] of its correspondences."""
    pairs = table.first.size(0)
    scale = torch.tensor(focal, dtype=torch.float64, device=samples.device)
    rays1, rays2 = rays_of(table.points1, scale), rays_of(table.points2, scale)
    matrices: list[Tensor] = []
    together = max(1, solved_together // samples.size(1))
    for start in range(0, pairs, together):
        check(stop)
        end = min(start + together, pairs)
        row = torch.arange(start, end, device=samples.device)[:, None, None]
        chosen = samples[start:end]
        found, real = five_point(rays1[row, chosen].flatten(0, 1), rays2[row, chosen].flatten(0, 1))
        found, real = found.reshape(end - start, -1, 3, 3), real.reshape(end - start, -1)
        for pair in range(start, end):
            check(stop)
            used = int(table.valid[pair].sum())
            best, _ = best_matrices(
                found[pair - start][real[pair - start]],
                rays1[pair, :used],
                rays2[pair, :used],
                (threshold / focal) ** 2,
            )
            if best.size(0) == 0:
                best = torch.zeros(1, 3, 3, dtype=torch.float64, device=samples.device)
            matrices.append(best[0])
    stacked = torch.stack(matrices)
    inverse = torch.tensor(
        [1.0 / focal, 1.0 / focal, 1.0], dtype=torch.float64, device=stacked.device
    )
    pixel = stacked * inverse[:, None] * inverse[None, :]
    errors, _, _ = sampson_residuals(pixel, table.points1, table.points2)
    inliers = (errors.abs() < threshold) & table.valid
    return decompose(stacked, rays1, rays2, inliers)


def sampson_residuals(
    fundamental: Tensor, points1: Tensor, points2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Signed Sampson distances in pixels [P, M] of fundamental matrices [P, 3, 3], with the
    epipolar lines [P, M, 3] in the second and the first image."""
    one = torch.ones_like(points1[..., :1])
    homogeneous1, homogeneous2 = torch.cat([points1, one], -1), torch.cat([points2, one], -1)
    lines2 = homogeneous1 @ fundamental.transpose(1, 2)
    lines1 = homogeneous2 @ fundamental
    # Column by column: a reduction over so few numbers is slow.
    algebraic = points2[..., 0] * lines2[..., 0] + points2[..., 1] * lines2[..., 1] + lines2[..., 2]
    length = lines2[..., 0].square() + lines2[..., 1].square()
    length = length + lines1[..., 0].square() + lines1[..., 1].square()
    return algebraic / (length + 1e-24).sqrt(), lines2, lines1


def fundamental_of(rotations: Tensor, translations: Tensor, log_focal: Tensor) -> Tensor:
    """Fundamental matrices [P, 3, 3] for centred pixels."""
    inverse = torch.ones(3, dtype=rotations.dtype, device=rotations.device)
    inverse[:2] = torch.exp(-log_focal)
    essential = cross_matrix(translations) @ rotations
    return essential * inverse[:, None] * inverse[None, :]


def tangents(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors orthogonal to each other and to each unit vector [P, 3]."""
    axis = functional.one_hot(directions.abs().argmin(dim=1), 3).to(directions.dtype)
    first = functional.normalize(torch.linalg.cross(directions, axis, dim=-1), dim=1)
    return first, torch.linalg.cross(directions, first, dim=-1)


def sampson_jacobian(
    poses: RelativePoses, points1: Tensor, points2: Tensor
) -> tuple[Tensor, Tensor]:
    """Residuals [P, M] and their derivatives [P, M, 6] by a left rotation vector (3), the
    translation's direction along `tangents` (2), and the log of the focal length."""
    device = points1.device
    inverse = torch.ones(3, dtype=torch.float64, device=device)
    inverse[:2] = torch.exp(-poses.log_focal)
    mask = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64, device=device)
    along1, along2 = tangents(poses.translations)
    across = cross_matrix(poses.translations)
    generators = cross_matrix(torch.eye(3, dtype=torch.float64, device=device))
    turned = generators[None] @ poses.rotations[:, None]
    essential = torch.cat(
        [
            across[:, None] @ turned,
            (cross_matrix(along1) @ poses.rotations)[:, None],
            (cross_matrix(along2) @ poses.rotations)[:, None],
            (across @ poses.rotations)[:, None],
        ],
        dim=1,
    )
    changes = essential * (inverse[:, None] * inverse[None, :])
    fundamental = changes[:, 5]
    by_focal = -fundamental * (mask[:, None] + mask[None, :])
    changes = torch.cat([changes[:, :5], by_focal[:, None]], dim=1)
    residuals, lines2, lines1 = sampson_residuals(fundamental, points1, points2)
    one = torch.ones_like(points1[..., :1])
    homogeneous1, homogeneous2 = torch.cat([points1, one], -1), torch.cat([points2, one], -1)
    length = lines2[..., 0].square() + lines2[..., 1].square()
    length = length + lines1[..., 0].square() + lines1[..., 1].square() + 1e-24
    # A residual is a / sqrt(l). Both a and the lines whose squared length is l are linear in the
    # matrix.
    by_length = (residuals / length)[..., None]
    left = homogeneous2 * length.rsqrt()[..., None] - by_length * lines2 * mask
    slopes = left[..., :, None] * homogeneous1[..., None, :]
    slopes = slopes - (by_length * homogeneous2)[..., :, None] * (lines1 * mask)[..., None, :]
    return residuals, slopes.flatten(2) @ changes.flatten(2).transpose(1, 2)


def robust_cost(residuals: Tensor, valid: Tensor, scale: float) -> Tensor:
    """Geman-McClure cost; for small residuals about half of (residual / `scale`) squared."""
    squared = residuals.square() / (scale * scale)
    return (0.5 * squared / (1.0 + squared) * valid).sum()


def refine_relative(
    poses: RelativePoses,
    table: Correspondences,
    prior: FocalPrior,
    scale: float,
    iterations: int,
    focal_is_free: bool,
    stop: Tensor | None = None,
) -> RelativePoses:
    """Levenberg-Marquardt on the robust Sampson error of all pairs, poses and shared focal length
    together (each pair's five parameters are eliminated, the focal length remains)."""
    valid = table.valid.to(torch.float64)
    mean, weight = prior.mean, prior.weight
    rotations, translations, log_focal = poses.rotations, poses.translations, poses.log_focal
    identity = torch.eye(5, dtype=torch.float64, device=rotations.device)
    information = poses.focal_information
    fundamental = fundamental_of(rotations, translations, log_focal)
    residuals, _, _ = sampson_residuals(fundamental, table.points1, table.points2)
    cost = robust_cost(residuals, valid, scale) + 0.5 * weight * (log_focal - mean).square()
    damping = 1e-3
    for _iteration in range(iterations):
        check(stop)
        current = RelativePoses(rotations, translations, log_focal, information)
        residuals, jacobian = sampson_jacobian(current, table.points1, table.points2)
        robust = (1.0 + residuals.square() / (scale * scale)).pow(-2) * valid / (scale * scale)
        weighted = jacobian * robust[..., None]
        normal = weighted.transpose(1, 2) @ jacobian
        gradient = (weighted * residuals[..., None]).sum(1)
        block, coupling = normal[:, :5, :5], normal[:, :5, 5:]
        diagonal = torch.diag_embed(block.diagonal(dim1=1, dim2=2) * damping)
        right = torch.cat([gradient[:, :5, None], coupling], dim=2)
        solved, _ = torch.linalg.solve_ex(block + diagonal + 1e-9 * identity, right)
        solved = torch.nan_to_num(solved, 0.0, 0.0, 0.0)
        reduced = normal[:, 5, 5].sum() - (coupling * solved[:, :, 1:]).sum()
        information = reduced.clamp(min=0.0)
        slope = gradient[:, 5].sum() - (coupling * solved[:, :, :1]).sum()
        slope = slope + weight * (log_focal - mean)
        step = (-slope / (information * (1.0 + damping) + weight)).clamp(-0.2, 0.2)
        if not focal_is_free:
            step = torch.zeros_like(step)
        change = -solved[:, :, 0] - solved[:, :, 1] * step
        new_rotations = rotation_from_vector(change[:, :3].clamp(-0.3, 0.3)) @ rotations
        along1, along2 = tangents(translations)
        moved = translations + change[:, 3:4] * along1 + change[:, 4:5] * along2
        new_translations = functional.normalize(moved, dim=1)
        new_focal = log_focal + step
        fundamental = fundamental_of(new_rotations, new_translations, new_focal)
        residuals, _, _ = sampson_residuals(fundamental, table.points1, table.points2)
        new_cost = robust_cost(residuals, valid, scale)
        new_cost = new_cost + 0.5 * weight * (new_focal - mean).square()
        if bool(new_cost < cost):
            gain = float((cost - new_cost) / cost)
            rotations, translations, log_focal = new_rotations, new_translations, new_focal
            cost = new_cost
            damping = max(damping / 5.0, 1e-7)
            if gain < 1e-4:
                break
        else:
            damping = damping * 8.0
            if damping > 1e5:
                break
    # Convert the information from units of `scale` to a noise of half a pixel.
    return RelativePoses(rotations, translations, log_focal, information * (scale * scale / 0.25))
