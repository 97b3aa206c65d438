"""Uncertainty of depths and focal length: covariances at the solution of the bundle adjustment."""

import torch
from torch import Tensor

from weights.mvs.bundle import (
    LensPrior,
    Observations,
    Scene,
    damped,
    free_unknowns,
    linearise,
    observation_pairs,
    reduced_system,
    reprojection,
)
from weights.mvs.geometry import inverse_3x3, transform


def pixel_noise(scene: Scene, observations: Observations) -> Tensor:
    """Robust standard deviation of one coordinate of an observation in pixels, float64 [].

    Estimated from the median residual length (1.18 standard deviations of a circular normal
    distribution), and at least 0.3 pixels, because few observations may fit by chance.
    """
    _, _, _, residuals = reprojection(scene, observations)
    return (residuals.square().sum(1).sqrt().median() / 1.18).clamp(min=0.3)


def depth_deviations(scene: Scene, observations: Observations, noise: Tensor) -> Tensor:
    """Standard deviation of each point's depth in each camera, relative to the depth, [T, N].

    Treats the cameras as exact; `noise` is in pixels.
    """
    equations = linearise(scene, observations, 1e9)
    covariance = inverse_3x3(damped(equations.points, 0.0)) * noise.square()
    axes = scene.rotations[:, 2]
    variance = torch.einsum("ni,tij,nj->tn", axes, covariance, axes).clamp(min=0.0)
    depth = transform(scene.rotations, scene.translations, scene.points)[..., 2]
    return variance.sqrt() / depth.abs().clamp(min=1e-6)


def focal_deviations(
    scene: Scene, observations: Observations, fixed: Tensor, noise: Tensor, prior: LensPrior
) -> Tensor:
    """Marginal standard deviation of the log of each group's focal length, float64 [G].

    `prior` says which unknowns are free and what is known of them. The free scale of the scene
    does not matter: it is orthogonal to the focal length.
    """
    equations = linearise(scene, observations, 1e9)
    free = free_unknowns(fixed, prior)
    weights = torch.stack([prior.focal_weight, prior.bend_weight], dim=1).reshape(-1)
    lenses = weights.size(0)
    equations.cameras.diagonal()[-lenses:].add_(weights)
    inverse = inverse_3x3(damped(equations.points, 1e-9))
    pairs = observation_pairs(observations, fixed)
    system, _ = reduced_system(equations, observations, pairs, inverse, free, 1e-9)
    sides = torch.zeros(free.size(0), lenses, dtype=torch.float64, device=free.device)
    rows = torch.arange(lenses, device=free.device)
    sides[free.size(0) - lenses + rows, rows] = 1.0
    solved, _ = torch.linalg.solve_ex(system, sides)
    variances = solved[-lenses:].diagonal()[::2]
    return variances.clamp(min=1e-18).sqrt() * noise
