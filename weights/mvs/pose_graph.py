"""Pose graph: cameras that fit given relative poses best.

Rotations, scales and positions are solved for one after another, each by least squares (Govindu,
"Combining two-view constraints for motion estimation", 2001).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.geometry import rotation_from_vector

ROUNDS: int = 10


class Edges(NamedTuple):
    """`E` relative poses of pairs of frames."""

    first: Tensor
    """int64 [E]."""
    second: Tensor
    """int64 [E]."""
    rotations: Tensor
    """float64 [E, 3, 3], from the first camera to the second."""
    baselines: Tensor
    """float64 [E, 3], centre of the second camera in the coordinates of the first."""
    log_scales: Tensor
    """float64 [E], log of the second frame's unit of length, in units of the first."""
    weights: Tensor
    """float64 [E]."""


def rotation_vector(rotations: Tensor) -> Tensor:
    """Axis times angle in radians of rotations [..., 3, 3] below half a turn: the inverse of
    `rotation_from_vector`."""
    skew = rotations - rotations.transpose(-2, -1)
    sine = 0.5 * torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    length = sine.square().sum(-1).clamp(min=1e-24).sqrt()
    cosine = 0.5 * (rotations.diagonal(dim1=-2, dim2=-1).sum(-1) - 1.0)
    return sine * (torch.atan2(length, cosine) / length)[..., None]


def spread(edges: Edges, steps: Tensor, first: int, frames: int) -> Tensor:
    """The values [N, k] whose differences along the edges, second minus first, fit `steps` [E, k]
    best; 0 for frame `first` and for frames without edges."""
    one, two, weights = edges.first, edges.second, edges.weights
    system = torch.zeros(frames * frames, dtype=torch.float64, device=steps.device)
    for row, column, sign in [(one, one, 1.0), (two, two, 1.0), (one, two, -1.0), (two, one, -1.0)]:
        system.index_add_(0, row * frames + column, sign * weights)
    right = torch.zeros(frames, steps.size(1), dtype=torch.float64, device=steps.device)
    right.index_add_(0, two, steps * weights[:, None])
    right.index_add_(0, one, -steps * weights[:, None])
    system = system.reshape(frames, frames)
    system.diagonal().add_(1e-9)
    system[first] = 0.0
    system[first, first] = 1.0
    right[first] = 0.0
    solved, _ = torch.linalg.solve_ex(system, right)
    return torch.nan_to_num(solved, 0.0, 0.0, 0.0)


def solve(
    edges: Edges, rotations: Tensor, centres: Tensor, first: int, rounds: int = ROUNDS
) -> tuple[Tensor, Tensor]:
    """Rotations [N, 3, 3] and centres [N, 3] of the cameras that fit the edges, from initial ones;
    those of frame `first` stay."""
    frames = rotations.size(0)
    one, two = edges.first, edges.second
    for _round in range(rounds):
        # In world coordinates, so that small turns of all frames are added.
        wanted = edges.rotations @ rotations[one]
        off = rotation_vector(rotations[two].transpose(1, 2) @ wanted)
        turns = spread(edges, off, first, frames)
        rotations = rotations @ rotation_from_vector(turns)
    scales = spread(edges, edges.log_scales[:, None], first, frames).exp()
    along = (rotations[one].transpose(1, 2) @ edges.baselines[:, :, None])[:, :, 0]
    moved = spread(edges, along * scales[one], first, frames)
    return rotations, moved + centres[first]
