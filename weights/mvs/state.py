"""The state of a reconstruction as one tensor: per frame one row with a header and the image."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.interface import SparseModel
from weights.mvs.neighbours import inverse_depth_range, rank_neighbours

NEIGHBOURS: int = 6
"""Number of neighbours in a row (the sweep uses the first few, the fusion all)."""
HEADER: int = 18 + NEIGHBOURS
"""Length of the header: rotation 9, translation 3, focal length, registered, reliability,
smallest, median and largest inverse depth, neighbours."""


class Frames(NamedTuple):
    """The state, unpacked. Geometry is float64, images are float32."""

    rotations: Tensor
    """float64 [N, 3, 3], world to camera."""
    translations: Tensor
    """float64 [N, 3], world to camera."""
    focal: float
    """Pixels."""
    registered: list[bool]
    reliability: list[float]
    inverse_depths: list[list[float]]
    """Smallest, median and largest inverse depth of each frame to search."""
    neighbours: list[list[int]]
    """Neighbours of each frame, the most useful first; may be empty."""
    grey: Tensor
    """float32 [N, H, W] in 0..1."""


def image_length(height: int, width: int) -> int:
    """Length of a row of `encode_image`."""
    return height * width


def encode_image(images: Tensor) -> Tensor:
    """Grey values float32 [n, H * W] of `images` [n, 3, H, W] in 0..1."""
    grey = (images[:, 0] + images[:, 1] + images[:, 2]) * (1.0 / 3.0)
    return grey.flatten(1)


def pack_state(sparse: SparseModel, images: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Pack the cameras and the rows of `encode_image` [N, H * W] as float32 [N, S]."""
    frames = sparse.rotations.size(0)
    device = images.device
    ranges = inverse_depth_range(sparse)
    header = torch.cat(
        [
            sparse.rotations.reshape(frames, 9),
            sparse.translations.reshape(frames, 3),
            sparse.focal.reshape(1, 1).expand(frames, 1),
            sparse.registered.to(torch.float64)[:, None],
            sparse.reliability.to(torch.float64)[:, None],
            ranges,
            rank_neighbours(sparse, neighbours).to(torch.float64),
        ],
        1,
    )
    return torch.cat([header.to(device=device, dtype=torch.float32), images], 1)


def unpack_state(state: Tensor, size: Tensor, header_length: int = HEADER) -> Frames:
    """Undo `pack_state`; `size` int64 [2] is (H, W)."""
    height = int(size[0])
    width = int(size[1])
    count = state.size(0)
    header = state[:, :header_length].to(device="cpu", dtype=torch.float64)
    registered: list[bool] = []
    reliability: list[float] = []
    inverse_depths: list[list[float]] = []
    neighbours: list[list[int]] = []
    for i in range(count):
        registered.append(bool(header[i, 13] > 0.5))
        reliability.append(float(header[i, 14]))
        inverse_depths.append([float(header[i, 15]), float(header[i, 16]), float(header[i, 17])])
        named: list[int] = []
        for k in range(18, header_length):
            j = int(header[i, k])
            if j >= 0 and j < count and j != i:
                named.append(j)
        neighbours.append(named)
    return Frames(
        header[:, :9].reshape(count, 3, 3),
        header[:, 9:12],
        float(header[0, 12]),
        registered,
        reliability,
        inverse_depths,
        neighbours,
        state[:, header_length:].reshape(count, height, width),
    )


def unpack_cameras(state: Tensor, size: Tensor) -> Tensor:
    """Rows float32 [N, 22] of the contract: extrinsics 3x4, intrinsics 3x3, registered."""
    count = state.size(0)
    height = float(size[0])
    width = float(size[1])
    extrinsics = torch.cat([state[:, :9].reshape(count, 3, 3), state[:, 9:12, None]], 2)
    focal = state[:, 12]
    intrinsics = torch.zeros([count, 3, 3], dtype=state.dtype, device=state.device)
    intrinsics[:, 0, 0] = focal
    intrinsics[:, 1, 1] = focal
    intrinsics[:, 0, 2] = (width - 1.0) / 2.0
    intrinsics[:, 1, 2] = (height - 1.0) / 2.0
    intrinsics[:, 2, 2] = 1.0
    return torch.cat([extrinsics.flatten(1), intrinsics.flatten(1), state[:, 13:14]], 1)
