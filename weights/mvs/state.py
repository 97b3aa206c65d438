"""The state of a reconstruction as one tensor: per frame one row with a header, the links and the
image."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.canvas import canvas_scale, to_canvas
from weights.mvs.interface import SparseModel
from weights.mvs.lenses import radial_terms
from weights.mvs.links import LINKS
from weights.mvs.neighbours import inverse_depth_range, rank_neighbours

NEIGHBOURS: int = 6
"""Number of neighbours in a row (the sweep uses the first few, the fusion all)."""
REPORT: int = 8
HEADER: int = 19 + REPORT + NEIGHBOURS
"""Length of the header: rotation 9, translation 3, focal length, bend, registered, reliability,
smallest, median and largest inverse depth, report, neighbours."""


class Frames(NamedTuple):
    """The state, unpacked. Geometry is float64, images are float32."""

    rotations: Tensor
    """float64 [N, 3, 3], world to camera."""
    translations: Tensor
    """float64 [N, 3], world to camera."""
    focal: list[float]
    """Focal length of each frame in pixels of the canvas."""
    bend: list[float]
    registered: list[bool]
    reliability: list[float]
    inverse_depths: list[list[float]]
    """Smallest, median and largest inverse depth of each frame to search."""
    neighbours: list[list[int]]
    """Neighbours of each frame, the most useful first; may be empty."""
    grey: Tensor
    """float32 [N, H, W] in 0..1, on the canvas."""


def image_length(height: int, width: int) -> int:
    """Length of a row of `encode_image`."""
    return height * width


def encode_image(images: Tensor) -> Tensor:
    """Grey values float32 [n, H * W] of `images` [n, 3, H, W] in 0..1."""
    grey = (images[:, 0] + images[:, 1] + images[:, 2]) * (1.0 / 3.0)
    return grey.flatten(1)


def pack_state(
    sparse: SparseModel, images: Tensor, size: Tensor, neighbours: int = NEIGHBOURS
) -> Tensor:
    """Pack the cameras and the rows of `encode_image` [N, H * W] as float32 [N, S]; `size` int64
    [2] is (H, W)."""
    frames = sparse.rotations.size(0)
    device = images.device
    ranges = inverse_depth_range(sparse)
    header = torch.cat(
        [
            sparse.rotations.reshape(frames, 9),
            sparse.translations.reshape(frames, 3),
            sparse.focal[:, None],
            sparse.bend[:, None],
            sparse.registered.to(torch.float64)[:, None],
            sparse.reliability.to(torch.float64)[:, None],
            ranges,
            sparse.report.to(torch.float64),
            rank_neighbours(sparse, neighbours).to(torch.float64),
        ],
        1,
    )
    height = int(size[0])
    width = int(size[1])
    rows = [images]
    if bool((sparse.bend != 0.0).any()):
        rows = [
            to_canvas(images[i].reshape(1, height, width), float(sparse.bend[i])).reshape(1, -1)
            for i in range(frames)
        ]
    links = sparse.links.to(device=device, dtype=torch.float32).flatten(1)
    return torch.cat([header.to(device=device, dtype=torch.float32), links, torch.cat(rows)], 1)


def unpack_state(
    state: Tensor,
    size: Tensor,
    header_length: int = HEADER,
    report_length: int = REPORT,
    links: int = LINKS,
) -> Frames:
    """Undo `pack_state`; `size` int64 [2] is (H, W)."""
    height = int(size[0])
    width = int(size[1])
    count = state.size(0)
    header = state[:, :header_length].to(device="cpu", dtype=torch.float64)
    focal: list[float] = []
    bend: list[float] = []
    registered: list[bool] = []
    reliability: list[float] = []
    inverse_depths: list[list[float]] = []
    neighbours: list[list[int]] = []
    for i in range(count):
        bend.append(float(header[i, 13]))
        focal.append(float(header[i, 12]) / canvas_scale(bend[i]))
        registered.append(bool(header[i, 14] > 0.5))
        reliability.append(float(header[i, 15]))
        inverse_depths.append([float(header[i, 16]), float(header[i, 17]), float(header[i, 18])])
        named: list[int] = []
        for k in range(19 + report_length, header_length):
            j = int(header[i, k])
            if j >= 0 and j < count and j != i:
                named.append(j)
        neighbours.append(named)
    return Frames(
        header[:, :9].reshape(count, 3, 3),
        header[:, 9:12],
        focal,
        bend,
        registered,
        reliability,
        inverse_depths,
        neighbours,
        state[:, header_length + 3 * links :].reshape(count, height, width),
    )


def unpack_report(state: Tensor, report_length: int = REPORT) -> Tensor:
    """Rows float32 [N, 8] of the contract's report."""
    return state[:, 19 : 19 + report_length]


def unpack_links(
    state: Tensor, size: Tensor, header_length: int = HEADER, links: int = LINKS
) -> Tensor:
    """Rows float32 [N, L, 3] of the contract: x and y as pixel indices, number of the track."""
    rows = state[:, header_length : header_length + 3 * links].reshape(-1, links, 3).clone()
    rows[:, :, 0] += (float(size[1]) - 1.0) / 2.0
    rows[:, :, 1] += (float(size[0]) - 1.0) / 2.0
    return rows


def unpack_cameras(state: Tensor, size: Tensor) -> Tensor:
    """Rows float32 [N, 24] of the contract: extrinsics 3x4, intrinsics 3x3, registered, radial
    distortion."""
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
    distortion = radial_terms(state[:, 13], focal, height, width)
    return torch.cat([extrinsics.flatten(1), intrinsics.flatten(1), state[:, 14:15], distortion], 1)
