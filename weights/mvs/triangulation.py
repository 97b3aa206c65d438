"""Triangulation of points from rays of several cameras."""

import torch
import torch.nn.functional as functional
from torch import Tensor

from weights.mvs.geometry import inverse_3x3, rays_of


def triangulate(
    rotations: Tensor, translations: Tensor, focal: Tensor, pixels: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """The points closest to their rays, and the largest angle between two of the rays.

    Cameras [N, 3, 3] and [N, 3], centred pixels [T, N, 2], seen bool [T, N] -> [T, 3], radians [T].
    """
    directions = torch.einsum("nji,tnj->tni", rotations, rays_of(pixels, focal))
    directions = functional.normalize(directions, dim=-1)
    centres = -(rotations.transpose(1, 2) @ translations[:, :, None])[:, :, 0]
    counted = seen.to(pixels.dtype)
    identity = torch.eye(3, dtype=pixels.dtype, device=pixels.device)
    # Sum of the projections (I - d d^T) onto the planes orthogonal to the rays.
    weighted = directions * counted[..., None]
    normal = counted.sum(1)[:, None, None] * identity - weighted.transpose(1, 2) @ directions
    along = (directions * centres[None]).sum(-1, keepdim=True)
    right = ((centres[None] - directions * along) * counted[..., None]).sum(1)
    points = (inverse_3x3(normal + 1e-10 * identity) @ right[:, :, None])[:, :, 0]
    cosines = directions @ directions.transpose(1, 2)
    both = seen[:, :, None] & seen[:, None, :]
    cosines = torch.where(both, cosines, torch.ones_like(cosines))
    return torch.nan_to_num(points), torch.acos(cosines.amin((1, 2)).clamp(-1.0, 1.0))
