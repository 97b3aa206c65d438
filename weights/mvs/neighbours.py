"""Selection of neighbour frames and depth ranges from the sparse model."""

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.interface import SparseModel

LEAST_SHARED: int = 8
"""Minimum number of points that neighbours share."""
BEST_ANGLE: float = 6.0
"""Triangulation angle in degrees at which matching works best (MVSNet, Yao et al. 2018)."""
CELLS: int = 8
"""Cells along each side of an image, for the density of points."""
ENOUGH: float = 1.0
"""Frames at the best angle after which a point counts a quarter."""
NEAREST: float = 1.5
"""The search begins at this multiple of the largest inverse depth of the sparse points."""
FARTHEST: float = 0.5
"""The search ends at this multiple of the smallest inverse depth of the sparse points."""


def point_weights(sparse: SparseModel, i: int, seen: Tensor, cells: int = CELLS) -> Tensor:
    """Weights float64 [P] of the points `seen` [P] (indices) in frame `i`: less where there are
    many, so that every part of the image counts."""
    points = sparse.points[seen] @ sparse.rotations[i].t() + sparse.translations[i]
    plane = points[:, :2] / points[:, 2:].clamp(min=1e-6)
    least = plane.amin(0)
    extent = (plane.amax(0) - least).clamp(min=1e-9)
    place = ((plane - least) / extent * cells).to(torch.int64).clamp(0, cells - 1)
    cell = place[:, 0] * cells + place[:, 1]
    count = torch.bincount(cell, minlength=cells * cells)[cell]
    return count.to(torch.float64).rsqrt()


def rank_neighbours(
    sparse: SparseModel,
    count: int,
    best_angle: float = BEST_ANGLE,
    least_shared: int = LEAST_SHARED,
    enough: float = ENOUGH,
) -> Tensor:
    """Indices int64 [N, count] of the frames that together see most points at a good triangulation
    angle; -1 if there are fewer.

    Each frame is the one that adds most to those before it: a point counts less for every frame
    that already sees it at a good angle.
    """
    frames = sparse.rotations.size(0)
    device = sparse.rotations.device
    result = torch.full([frames, count], -1, dtype=torch.int64, device=device)
    if sparse.points.size(0) == 0 or frames < 2:
        return result
    centres = -(sparse.rotations.transpose(1, 2) @ sparse.translations[:, :, None])[:, :, 0]
    rays = functional.normalize(sparse.points[:, None] - centres[None], dim=2)
    for i in range(frames):
        own = torch.nonzero(sparse.visible[:, i])[:, 0]
        if not bool(sparse.registered[i]) or own.size(0) < least_shared:
            continue
        shared = sparse.visible[own]
        cosine = (rays[own] * rays[own, i : i + 1]).sum(2).clamp(-1.0, 1.0)
        off = torch.rad2deg(torch.acos(cosine)) - best_angle
        spread = torch.where(off < 0.0, torch.full_like(off, 3.0), torch.full_like(off, 12.0))
        worth = torch.exp(-0.5 * (off / spread).square()) * shared
        usable = (shared.sum(0) >= least_shared) & sparse.registered
        usable[i] = False
        weights = point_weights(sparse, i, own)
        covered = torch.zeros_like(weights)
        for k in range(min(count, frames)):
            gain = (worth * (weights / (1.0 + covered / enough).square())[:, None]).sum(0)
            best, j = torch.where(usable, gain, torch.full_like(gain, -1.0)).max(0)
            if float(best) <= 0.0:
                break
            result[i, k] = j
            usable[j] = False
            covered += worth[:, j]
    return result


def inverse_depth_range(
    sparse: SparseModel,
    farthest: float = FARTHEST,
    nearest: float = NEAREST,
    least_seen: int = LEAST_SHARED,
) -> Tensor:
    """Smallest, median and largest inverse depth float64 [N, 3] to search in each frame."""
    frames = sparse.rotations.size(0)
    device = sparse.rotations.device
    result = torch.ones([frames, 3], dtype=torch.float64, device=device)
    quantiles = torch.tensor([0.02, 0.5, 0.985], dtype=torch.float64, device=device)
    factors = torch.tensor([farthest, 1.0, nearest], dtype=torch.float64, device=device)
    for i in range(frames):
        depth = sparse.points @ sparse.rotations[i, 2] + sparse.translations[i, 2]
        front = depth > 1e-6
        seen = sparse.visible[:, i] & front
        if int(seen.sum()) < least_seen:
            seen = front
        if bool(seen.any()):
            result[i] = torch.quantile(1.0 / depth[seen], quantiles) * factors
    result[:, 0] = torch.minimum(result[:, 0], 0.5 * result[:, 1])
    result[:, 2] = torch.maximum(result[:, 2], 1.2 * result[:, 1])
    return result
