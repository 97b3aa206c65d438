"""Gradient histograms around features (SIFT, Lowe 2004, section 6; root normalisation by
Arandjelovic and Zisserman 2012). Upright: rotation is handled when matching, see `rolled`."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor


def descriptor_length() -> int:
    """Length of one descriptor."""
    return 4 * 4 * 8


def rolled(descriptors: Tensor, quarters: int) -> Tensor:
    """Descriptors [..., 128] of the same features in an image rotated by quarter turns.

    One quarter rotates the image's x axis to its y axis (clockwise on screen). Exact up to
    resampling, because the grid of cells and the directions are symmetric under such rotations.
    """
    bins = descriptors.unflatten(-1, [4, 4, 8])
    bins = torch.rot90(bins, -quarters, [-3, -2])
    bins = torch.roll(bins, 2 * quarters, -1)
    return bins.flatten(-3)


def sample_patches(
    octaves: list[Tensor], positions: Tensor, places: Tensor, scale: float
) -> Tensor:
    """Intensities [k, 14, 14] around each feature at its octave and level, one sigma apart."""
    device = positions.device
    sizes_h: list[int] = []
    sizes_w: list[int] = []
    starts: list[int] = []
    flats: list[Tensor] = []
    start = 0
    for octave in range(len(octaves)):
        levels = octaves[octave]
        sizes_h.append(levels.size(1))
        sizes_w.append(levels.size(2))
        starts.append(start)
        start += levels.numel()
        flats.append(levels.reshape(-1))
    flat = torch.cat(flats)
    octave, level = places[:, 0], places[:, 1]
    height = torch.tensor(sizes_h, device=device)[octave][:, None, None]
    width = torch.tensor(sizes_w, device=device)[octave][:, None, None]
    start_of = torch.tensor(starts, device=device)[octave][:, None, None] + (
        level[:, None, None] * height * width
    )
    step = torch.pow(2.0, octave.to(positions.dtype))[:, None]
    centre = ((positions + 0.5) * scale - 0.5) / step
    sigma = 1.6 * torch.pow(2.0, level.to(positions.dtype) / 3.0)
    count = 14
    offsets = torch.arange(count, dtype=positions.dtype, device=device) - (count - 1) / 2.0
    x = (centre[:, :1] + offsets * sigma[:, None])[:, None, :]
    y = (centre[:, 1:] + offsets * sigma[:, None])[:, :, None]
    x = torch.minimum(x.clamp(min=0.0), (width - 1).to(x.dtype))
    y = torch.minimum(y.clamp(min=0.0), (height - 1).to(y.dtype))
    left = torch.minimum(x.floor().long(), width - 2)
    top = torch.minimum(y.floor().long(), height - 2)
    weight_x, weight_y = x - left.to(x.dtype), y - top.to(y.dtype)
    shape = [positions.size(0), count, count]
    index = (start_of + top * width + left).reshape(-1)
    stride = width.expand(shape).reshape(-1)
    upper_left = flat.index_select(0, index).reshape(shape)
    upper_right = flat.index_select(0, index + 1).reshape(shape)
    lower_left = flat.index_select(0, index + stride).reshape(shape)
    lower_right = flat.index_select(0, index + stride + 1).reshape(shape)
    upper = upper_left + (upper_right - upper_left) * weight_x
    lower = lower_left + (lower_right - lower_left) * weight_x
    return upper + (lower - upper) * weight_y


def cell_weights(device: torch.device) -> Tensor:
    """[16, 144]: weight of each sample in each cell (bilinear, Gaussian window)."""
    along = (torch.arange(12, dtype=torch.float32, device=device) - 5.5) / 3.0
    cells = torch.arange(4, dtype=torch.float32, device=device) - 1.5
    share = (1.0 - (cells[:, None] - along[None, :]).abs()).clamp(min=0.0)
    share = share * torch.exp(-along.square() / 8.0)
    return torch.einsum("ai,bj->abij", share, share).reshape(16, 144)


def describe(octaves: list[Tensor], positions: Tensor, places: Tensor, scale: float) -> Tensor:
    """Descriptors [k, 128] of unit length."""
    patches = sample_patches(octaves, positions, places, scale)
    count = patches.size(0)
    gradient_x = (patches[:, 1:-1, 2:] - patches[:, 1:-1, :-2]).reshape(count, 144, 1)
    gradient_y = (patches[:, 2:, 1:-1] - patches[:, :-2, 1:-1]).reshape(count, 144, 1)
    magnitude = (gradient_x.square() + gradient_y.square()).sqrt()
    angle = torch.atan2(gradient_y, gradient_x) * (8.0 / (2.0 * math.pi))
    centres = torch.arange(8, dtype=torch.float32, device=patches.device)
    apart = (angle - centres + 12.0) % 8.0 - 4.0
    votes = (1.0 - apart.abs()).clamp(min=0.0) * magnitude
    bins = torch.matmul(cell_weights(patches.device), votes).reshape(count, 128)
    # Lowe's clamp against single strong edges, then the square root of the L1-normalised bins.
    bins = functional.normalize(bins, dim=-1).clamp(max=0.2)
    return functional.normalize(bins, p=1.0, dim=-1).sqrt()
