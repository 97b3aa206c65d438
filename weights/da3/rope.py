"""Rotary position embedding in two dimensions (RoFormer, arXiv 2104.09864; RoPE-ViT, 2403.13298).

The first half of a head's channels is rotated by the token's row, the second half by its column.
The product of a query and a key thus depends only on the difference of their positions.
"""

import torch
from torch import Tensor

BASE_FREQUENCY = 100.0


def grid_rotations(rows: int, columns: int, channels: int, like: Tensor) -> Tensor:
    """Rotations of a class token at (0, 0) and of patches at (1, 1) .. (rows, columns).

    The result `[2, 1 + rows * columns, channels]` holds cosines and signed sines, with the type
    and device of `like`.
    """
    y = torch.arange(1, rows + 1, dtype=torch.float32, device=like.device)
    x = torch.arange(1, columns + 1, dtype=torch.float32, device=like.device)
    patches = torch.stack([y[:, None].expand(rows, columns), x.expand(rows, columns)], 2)
    positions = torch.cat([torch.zeros_like(patches[0, :1]), patches.flatten(0, 1)])
    return _rotations(positions, channels).to(like.dtype)


def class_rotation(channels: int, like: Tensor) -> Tensor:
    """Rotation `[2, 1, channels]` of a class token before patches that share one position.

    In cross-frame blocks every patch is at (1, 1) and every class token at (0, 0). Shifting both by
    (-1, -1) keeps the differences, and patches need no rotation.
    """
    position = torch.full([1, 2], -1.0, dtype=torch.float32, device=like.device)
    return _rotations(position, channels).to(like.dtype)


def rotate(tokens: Tensor, rotations: Tensor) -> Tensor:
    """Rotate the leading tokens of `[N, T, heads, channels]`; may overwrite the input."""
    count = rotations.size(1)
    leading = tokens[:, :count]
    shape = leading.size()
    pairs = leading.reshape(shape[0], count, shape[2], 2, 2, shape[3] // 4)
    partners = pairs.flip(4).view(shape)
    rotated = torch.addcmul(leading * rotations[0, :, None], partners, rotations[1, :, None])
    if count == tokens.size(1):
        return rotated
    tokens[:, :count] = rotated
    return tokens


def _rotations(positions: Tensor, channels: int, base: float = BASE_FREQUENCY) -> Tensor:
    """Cosines and signed sines `[2, T, channels]` for positions `[T, 2]` = (row, column)."""
    half = channels // 2
    exponents = torch.arange(0, half, 2, dtype=torch.float32, device=positions.device) / half
    angles = positions[:, :, None] * (1.0 / base**exponents)
    cosines = angles.cos()
    sines = angles.sin()
    return torch.stack(
        [
            torch.stack([cosines, cosines], 2).flatten(1),
            torch.stack([-sines, sines], 2).flatten(1),
        ]
    )
