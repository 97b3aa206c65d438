"""Images without lens distortion: the dense stage works on them, and its maps return to the pixels
that the camera recorded.

The canvas has the size of the image. A lens with a positive bend records less than a lens without
distortion would, so its canvas is reduced in scale until the sides of the image fit.
"""

import torch
from torch import Tensor
from torch.nn import functional

from weights.mvs.lenses import straight

SIDE: float = 0.3
"""Squared distance from the centre, in units of the longer side, that still lies on the canvas:
that of the sides and nearly that of the corners."""
SMOOTH: float = 0.02
"""Relative difference up to which neighbouring depths are interpolated."""


def canvas_scale(bend: float, side: float = SIDE) -> float:
    """Pixels of the recorded image per pixel of the canvas, near the centre."""
    return 1.0 + max(bend, 0.0) * side


def centred_pixels(height: int, width: int, device: torch.device) -> Tensor:
    """float32 [H, W, 2], pixels from the image centre."""
    x = torch.arange(width, device=device, dtype=torch.float32) - (width - 1) / 2.0
    y = torch.arange(height, device=device, dtype=torch.float32) - (height - 1) / 2.0
    return torch.stack([x[None].expand(height, width), y[:, None].expand(height, width)], 2)


def unbent(pixels: Tensor, bend: float, extent: float) -> Tensor:
    """The recorded pixels [..., 2] whose `straight` positions are `pixels`, by Newton's method on
    the distance from the centre."""
    distance = pixels.square().sum(-1).sqrt()
    radius = distance.clone()
    for _step in range(6):
        square = radius.square() * (bend / (extent * extent))
        radius = radius - (radius * (1.0 + square) - distance) / (1.0 + 3.0 * square).clamp(min=0.1)
    return pixels * (radius / distance.clamp(min=1e-6))[..., None]


def sampling_grid(pixels: Tensor) -> Tensor:
    """Centred pixels [H, W, 2] as `grid_sample` expects positions."""
    size = torch.tensor([pixels.size(1), pixels.size(0)], device=pixels.device)
    return (pixels * (2.0 / size.to(pixels.dtype)))[None]


def to_canvas(images: Tensor, bend: float) -> Tensor:
    """Recorded images [C, H, W] on the canvas; edges repeated."""
    if bend == 0.0:
        return images
    height, width = images.size(1), images.size(2)
    pixels = centred_pixels(height, width, images.device) * canvas_scale(bend)
    grid = sampling_grid(unbent(pixels, bend, float(max(height, width))))
    return functional.grid_sample(
        images[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0]


def from_canvas(maps: Tensor, bend: float, smooth: float = SMOOTH) -> Tensor:
    """Depth and confidence [2, H, W] on the canvas at the recorded pixels. Pixels beyond the canvas
    are unknown: their confidence is 1."""
    if bend == 0.0:
        return maps
    height, width = maps.size(1), maps.size(2)
    pixels = centred_pixels(height, width, maps.device)
    flat = torch.full([height, width], bend, device=maps.device)
    pixels = straight(pixels, flat, float(max(height, width))) / canvas_scale(bend)
    grid = sampling_grid(pixels)
    nearest = functional.grid_sample(
        maps[None], grid, mode="nearest", padding_mode="border", align_corners=False
    )[0]
    mixed = functional.grid_sample(
        maps[None, :1], grid, mode="bilinear", padding_mode="border", align_corners=False
    )[0, 0]
    depth = torch.where((mixed / nearest[0] - 1.0).abs() < smooth, mixed, nearest[0])
    inside = (grid[0].abs() <= 1.0).all(dim=2)
    return torch.stack([depth, torch.where(inside, nearest[1], torch.ones_like(depth))])
