"""Triangulation of points from rays of several cameras."""

import torch
import torch.nn.functional as functional
from torch import Tensor

from weights.mvs.geometry import inverse_3x3, rays_of


def widest_angle(directions: Tensor, seen: Tensor) -> Tensor:
    """Angle in radians [T] between two of the unit rays [T, N, 3] that are seen [T, N].

    The widest of those from the ray that is farthest from the first one: at least half of the
    widest of all, and equal to it for rays in a plane.
    """
    rows = torch.arange(directions.size(0), device=directions.device)
    reference = directions[rows, seen.to(torch.int64).argmax(dim=1)]
    for _pass in range(2):
        cosine = (directions * reference[:, None]).sum(-1)
        cosine = torch.where(seen, cosine, torch.ones_like(cosine))
        reference = directions[rows, cosine.argmin(dim=1)]
    cosine = (directions * reference[:, None]).sum(-1)
    cosine = torch.where(seen, cosine, torch.ones_like(cosine))
    return torch.acos(cosine.amin(1).clamp(-1.0, 1.0))


def triangulate(
    rotations: Tensor, translations: Tensor, focal: Tensor, pixels: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """The points closest to their rays, and about the widest angle between two of the rays.

    Cameras [N, 3, 3] and [N, 3], focal lengths that broadcast to [N, 1], centred pixels [T, N, 2]
    without distortion, seen bool [T, N] -> [T, 3], radians [T].
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
    return torch.nan_to_num(points), widest_angle(directions, seen)
