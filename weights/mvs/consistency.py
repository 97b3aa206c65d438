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


def pixel_rays(height: int, width: int, focal: float, device: torch.device) -> Tensor:
    """Rays [3, H, W] through the pixels, with z = 1."""
    x = (torch.arange(width, device=device, dtype=torch.float32) - (width - 1) / 2.0) / focal
    y = (torch.arange(height, device=device, dtype=torch.float32) - (height - 1) / 2.0) / focal
    return torch.stack(
        [
            x[None].expand(height, width),
            y[:, None].expand(height, width),
            torch.ones([height, width], device=device),
        ]
    )


def turn_and_move(points: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """Apply `rotation` [3, 3] and `translation` [3] (both on the CPU) to `points` [3, H, W]."""
    rows: list[Tensor] = []
    for k in range(3):
        row = points[0] * float(rotation[k, 0])
        row.add_(points[1], alpha=float(rotation[k, 1]))
        row.add_(points[2], alpha=float(rotation[k, 2])).add_(float(translation[k]))
        rows.append(row)
    return torch.stack(rows)


def check_pair(
    frames: Frames,
    dense: Tensor,
    points: Tensor,
    i: int,
    j: int,
    pixel_tolerance: float = PIXEL_TOLERANCE,
    depth_tolerance: float = DEPTH_TOLERANCE,
    reference_width: float = REFERENCE_WIDTH,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Check frame `i`, with `points` [3, H, W] in its camera frame, against frame `j`.

    Returns, all [H, W]: the depth in `i` of the surface that `j` sees at the point's projection,
    whether it agrees, whether the point is inside the image, and whether `j` sees through it.
    """
    height = points.size(1)
    width = points.size(2)
    focal = frames.focal[j]
    own_focal = frames.focal[i]
    rotation = frames.rotations[j] @ frames.rotations[i].t()
    translation = frames.translations[j] - rotation @ frames.translations[i]
    there = turn_and_move(points, rotation, translation)
    z = there[2].clamp(min=1e-4)
    u = there[0] / z
    v = there[1] / z
    grid = torch.stack([u * (2.0 * focal / width), v * (2.0 * focal / height)], 2)
    inside = (torch.maximum(grid[..., 0].abs(), grid[..., 1].abs()) < 1.0) & (there[2] > 1e-4)
    found = functional.grid_sample(
        dense[j : j + 1, :2],
        grid[None].clamp(-2.0, 2.0),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0]
    depth = 1.0 / found[0].clamp(min=1e-6)
    surface = torch.stack([u * depth, v * depth, depth])
    back = turn_and_move(surface, rotation.t(), -(rotation.t() @ translation))
    z_back = back[2].clamp(min=1e-4)
    x = own_focal * (back[0] / z_back - points[0] / points[2])
    y = own_focal * (back[1] / z_back - points[1] / points[2])
    off_pixels = (x * x + y * y).sqrt_() * (reference_width / max(width, height))
    off_depth = (z_back - points[2]).abs() / points[2]
    agrees = inside & (off_pixels < pixel_tolerance) & (off_depth < depth_tolerance)
    through = inside & (depth > z * (1.0 + 3.0 * depth_tolerance)) & (found[1] > 0.6)
    through = through & (off_pixels > 2.0 * pixel_tolerance)
    return z_back, agrees, inside, through


def check_frame(frames: Frames, dense: Tensor, i: int) -> Agreement:
    """Check frame `i` against its witnesses; `dense` [N, C, H, W] has the inverse depth in channel
    0 and the correlation in channel 1."""
    own = dense[i, 0].clamp(min=1e-6)
    height = own.size(0)
    width = own.size(1)
    points = pixel_rays(height, width, frames.focal[i], own.device) / own
    total = own.clone()
    agreeing = torch.zeros_like(own)
    seen = torch.zeros_like(own)
    see_through = torch.zeros_like(own)
    for j in witnesses(frames, i):
        depth, agrees, inside, through = check_pair(frames, dense, points, i, j)
        total += torch.where(agrees, 1.0 / depth, torch.zeros_like(depth))
        agreeing += agrees
        seen += inside
        see_through += through
    return Agreement(
        total / (agreeing + 1.0),
        agreeing,
        seen,
        see_through,
    )
