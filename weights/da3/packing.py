"""Maps of pixels as further columns of tokens, so that one tensor holds both.

A patch's token gets the pixels of the patch. They stay float32 bit by bit, whatever type tokens
have: a token of 16-bit numbers gets two numbers for each pixel.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from weights.da3.config import PATCH_SIZE


def columns_of_maps(maps: Tensor, dtype: torch.dtype, patch_size: int = PATCH_SIZE) -> Tensor:
    """Float32 maps `[n, C, H, W]` -> `[n, P, Q]` of another type, bit by bit."""
    patches = F.pixel_unshuffle(maps, patch_size).flatten(2).transpose(1, 2)
    return torch.view_copy(patches.contiguous(), dtype=dtype)


def maps_of_columns(
    columns: Tensor, height: int, width: int, patch_size: int = PATCH_SIZE
) -> Tensor:
    """`[n, P, Q]` -> the float32 maps `[n, C, H, W]` that they were."""
    patches = torch.view_copy(columns.contiguous(), dtype=torch.float32).transpose(1, 2)
    rows, columns_of_patches = height // patch_size, width // patch_size
    grid = patches.reshape(patches.size(0), patches.size(1), rows, columns_of_patches)
    return F.pixel_shuffle(grid, patch_size)
