"""Selection of neighbour frames and depth ranges from the sparse model."""

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.interface import SparseModel

LEAST_SHARED: int = 8
"""Minimum number of points that neighbours share."""
BEST_ANGLE: float = 6.0
"""Triangulation angle in degrees at which matching works best (MVSNet, Yao et al. 2018)."""
NEAREST: float = 1.5
"""The search begins at this multiple of the largest inverse depth of the sparse points."""
FARTHEST: float = 0.5
"""The search ends at this multiple of the smallest inverse depth of the sparse points."""


def rank_neighbours(
    sparse: SparseModel,
    count: int,
    best_angle: float = BEST_ANGLE,
    least_shared: int = LEAST_SHARED,
) -> Tensor:
    """Indices int64 [N, count] of the frames that share most points at a good triangulation angle;
    -1 if there are fewer."""
    frames = sparse.rotations.size(0)
    device = sparse.rotations.device
    result = torch.full([frames, count], -1, dtype=torch.int64, device=device)
    if sparse.points.size(0) == 0 or frames < 2:
        return result
    centres = -(sparse.rotations.transpose(1, 2) @ sparse.translations[:, :, None])[:, :, 0]
    rays = functional.normalize(sparse.points[:, None] - centres[None], dim=2)
    for i in range(frames):
        shared = sparse.visible & sparse.visible[:, i : i + 1]
        cosine = (rays * rays[:, i : i + 1]).sum(2).clamp(-1.0, 1.0)
        off = torch.rad2deg(torch.acos(cosine)) - best_angle
        spread = torch.where(off < 0.0, torch.full_like(off, 3.0), torch.full_like(off, 12.0))
        worth = (torch.exp(-0.5 * (off / spread).square()) * shared).sum(0)
        usable = (shared.sum(0) >= least_shared) & sparse.registered & sparse.registered[i]
        usable[i] = False
        worth = torch.where(usable, worth, torch.full_like(worth, -1.0))
        best, order = torch.topk(worth, min(count, frames))
        named = torch.where(best > 0.0, order, torch.full_like(order, -1))
        result[i, : named.size(0)] = named
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
