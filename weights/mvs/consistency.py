"""Cross-frame consistency: check each frame's depth against the depth of other frames."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.state import Frames

DEPTH_TOLERANCE: float = 0.02
"""Largest relative difference between consistent depths."""
PIXEL_TOLERANCE: float = 1.5
"""Largest forward-backward reprojection error in pixels at `REFERENCE_WIDTH`."""
REFERENCE_WIDTH: float = 400.0
MOST_WITNESSES: int = 8
"""Maximum number of frames to check one frame against."""


class Agreement(NamedTuple):
    """Result of checking a frame's depth against other frames; all float32 [H, W]."""

    inverse_depth: Tensor
    """Mean over the frame itself and those that agree."""
    agreeing: Tensor
    """Number of frames that agree."""
    seen: Tensor
    """Number of frames in whose image the point lies."""
    hidden: Tensor
    """Number of these whose surface lies in front of the point."""
    see_through: Tensor
    """Number of frames whose well correlated depth lies behind the point, on the ray to it."""


def witnesses(frames: Frames, i: int, most: int = MOST_WITNESSES) -> list[int]:
    """The neighbours of frame `i` and the frames that it is a neighbour of."""
    result: list[int] = []
    for j in frames.neighbours[i]:
        if frames.registered[j]:
            result.append(j)
    for j in range(len(frames.neighbours)):
        if i in frames.neighbours[j] and j not in result and frames.registered[j]:
            result.append(j)
    return result[:most]


def pixel_rays(
    height: int, width: int, focal: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """x [1, W] and y [H, 1] of the rays through the pixels, with z = 1."""
    x = (torch.arange(width, device=device, dtype=torch.float32) - (width - 1) / 2.0) / focal
    y = (torch.arange(height, device=device, dtype=torch.float32) - (height - 1) / 2.0) / focal
    return x[None], y[:, None]


def check_pair(
    frames: Frames,
    dense: Tensor,
    inverse_depth: Tensor,
    i: int,
    j: int,
    pixel_tolerance: float = PIXEL_TOLERANCE,
    depth_tolerance: float = DEPTH_TOLERANCE,
    reference_width: float = REFERENCE_WIDTH,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Check frame `i`, with `inverse_depth` [H, W], against frame `j`.

    Returns, all [H, W]: the inverse depth in `i` of the surface that `j` sees at the projection,
    whether it agrees, whether the point is inside the image, whether the surface hides it, and
    whether `j` sees through it.

    The point P that `j` sees lies on the ray from its centre C through the point X of `i`:
    P = X + excess (X - C). Seen from `i`, its depth differs by excess (X - C)_z, and its projection
    by excess times the epipole's direction, which needs no way back through the cameras.
    """
    height = inverse_depth.size(0)
    width = inverse_depth.size(1)
    rotation = frames.rotations[j] @ frames.rotations[i].t()
    translation = frames.translations[j] - rotation @ frames.translations[i]
    centre = -(rotation.t() @ translation)
    x, y = pixel_rays(height, width, frames.focal[i], inverse_depth.device)
    # Coordinates in `j` of the point, times its inverse depth in `i`.
    seen: list[Tensor] = []
    for k in range(3):
        across = x * float(rotation[k, 0])
        down = y * float(rotation[k, 1]) + float(rotation[k, 2])
        seen.append(torch.add(across + down, inverse_depth, alpha=float(translation[k])))
    inverse = seen[2].clamp(min=1e-6).reciprocal_()
    u = seen[0].mul_(inverse).mul_(2.0 * frames.focal[j] / width)
    v = seen[1].mul_(inverse).mul_(2.0 * frames.focal[j] / height)
    grid = torch.empty([1, height, width, 2], device=inverse_depth.device)
    grid[0, :, :, 0] = u
    grid[0, :, :, 1] = v
    inside = (torch.maximum(u.abs_(), v.abs_()) < 1.0) & (seen[2] > 1e-6)
    found = functional.grid_sample(
        dense[j : j + 1, :2],
        grid.clamp_(-2.0, 2.0),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0]
    # Depth of the surface in `j` relative to that of the point, minus 1.
    excess = inverse.mul_(inverse_depth).div_(found[0].clamp_(min=1e-6)).sub_(1.0)
    change = excess * (1.0 - inverse_depth * float(centre[2]))
    grown = (change + 1.0).clamp_(min=1e-3)
    sideways = (x * float(centre[2]) - float(centre[0])).square()
    lengthways = (y * float(centre[2]) - float(centre[1])).square()
    # Squared pixels, at `reference_width`.
    scale = frames.focal[i] * reference_width / max(width, height)
    off = (excess * inverse_depth).div_(grown).square_().mul_(sideways + lengthways)
    off.mul_(scale * scale)
    limit = pixel_tolerance * pixel_tolerance
    agrees = inside & (off < limit) & (change.abs_() < depth_tolerance)
    hidden = inside & (excess < -3.0 * depth_tolerance) & (off > 4.0 * limit)
    through = (
        inside & (excess > 3.0 * depth_tolerance) & (found[1].abs() > 0.6) & (off > 4.0 * limit)
    )
    return inverse_depth / grown, agrees, inside, hidden, through


def check_frame(frames: Frames, dense: Tensor, i: int) -> Agreement:
    """Check frame `i` against its witnesses; `dense` [N, C, H, W] has the inverse depth in channel
    0 and the correlation in channel 1, negated where the depth is not unique."""
    own = dense[i, 0].clamp(min=1e-6)
    total = own.clone()
    agreeing = torch.zeros_like(own)
    seen = torch.zeros_like(own)
    hidden = torch.zeros_like(own)
    see_through = torch.zeros_like(own)
    for j in witnesses(frames, i):
        there, agrees, inside, behind, through = check_pair(frames, dense, own, i, j)
        total += there.mul_(agrees)
        agreeing += agrees
        seen += inside
        hidden += behind
        see_through += through
    return Agreement(
        total / (agreeing + 1.0),
        agreeing,
        seen,
        hidden,
        see_through,
    )
