"""Store pixel maps as additional token columns, so that one tensor holds both.

The token of a patch gets the patch's pixels. Their float32 bits are reinterpreted in the token
type: a token of 16-bit numbers gets two numbers per pixel.
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
    """`[n, P, Q]` -> the original float32 maps `[n, C, H, W]`."""
    patches = torch.view_copy(columns.contiguous(), dtype=torch.float32).transpose(1, 2)
    rows, columns_of_patches = height // patch_size, width // patch_size
    grid = patches.reshape(patches.size(0), patches.size(1), rows, columns_of_patches)
    return F.pixel_shuffle(grid, patch_size)
