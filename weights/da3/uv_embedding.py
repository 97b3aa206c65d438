"""The fixed positional embedding that the depth head adds to its maps."""

import torch
from torch import Tensor

STRENGTH = 0.1
LARGEST_WAVELENGTH = 100.0


def add_uv_embedding(maps: Tensor, aspect: float) -> Tensor:
    """Add sines and cosines of the position to maps `[n, C, h, w]`; W / H of the image is `aspect`.

    Works in place: at image size the maps are the largest tensors.
    The first half of the channels depends on the column, the second on the row. Coordinates are
    in units of half the image's diagonal, from its middle.
    """
    half, height, width = maps.size(1) // 2, maps.size(2), maps.size(3)
    diagonal = (aspect * aspect + 1.0) ** 0.5
    maps[:, :half].add_(_axis_embedding(aspect / diagonal, width, half, maps)[:, None, :])
    maps[:, half:].add_(_axis_embedding(1.0 / diagonal, height, half, maps)[:, :, None])
    return maps


def _axis_embedding(
    span: float,
    count: int,
    channels: int,
    like: Tensor,
    strength: float = STRENGTH,
    wavelength: float = LARGEST_WAVELENGTH,
) -> Tensor:
    """`[channels, count]` for the centres of `count` cells between `-span` and `span`."""
    last = span * (count - 1) / count
    places = torch.linspace(-last, last, count, dtype=torch.float32, device=like.device)
    exponents = torch.arange(channels // 2, dtype=torch.float32, device=like.device)
    frequencies = 1.0 / wavelength ** (exponents / (channels / 2.0))
    angles = frequencies[:, None] * places
    return (torch.cat([angles.sin(), angles.cos()]) * strength).to(like.dtype)
