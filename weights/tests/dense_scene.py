"""A small scene with exact depth for the tests of the dense stage: a board in front of a wall, and
an empty sky above the wall."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.interface import SparseModel
from weights.mvs.links import no_links

HEIGHT, WIDTH, FOCAL = 98, 126, 120.0
NOISE = 0.003
"""Standard deviation of the sensor noise, for grey values 0..1."""
SKY_ROWS = 26
"""Number of rows at the top of every image that show only sky."""


class DenseScene(NamedTuple):
    """Images of four cameras in a row, with ground truth."""

    images: Tensor
    """float32 [4, 3, H, W]"""
    depth: Tensor
    """float64 [4, H, W]; 0 in the sky"""
    sparse: SparseModel
    size: Tensor


def texture(x: Tensor, y: Tensor, seed: int) -> Tensor:
    """Grey values 0.1..0.9 of a random pattern of waves at positions in the plane."""
    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    waves = waves * torch.logspace(0.5, 1.8, 40, dtype=torch.float64)[:, None]
    phases = torch.rand(40, generator=generator, dtype=torch.float64) * 6.28
    angle = x[..., None] * waves[:, 0] + y[..., None] * waves[:, 1] + phases
    return 0.5 + 0.4 * (torch.sin(angle).mean(-1) * 4.0).tanh()


def noise(seed: int) -> Tensor:
    """Normally distributed numbers [H, W]."""
    generator = torch.Generator().manual_seed(100 + seed)
    return torch.randn(HEIGHT, WIDTH, generator=generator, dtype=torch.float64)


def make_dense_scene(reliability: float = 1.0, contrast: float = 1.0) -> DenseScene:
    """Cameras 0.12 apart that look along z at a slanted wall at depth 1.5 and a board at depth 1.

    With low `contrast` both have a single colour with a faint texture and sensor noise.
    """
    count = 4
    rotations = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    translations = torch.zeros(count, 3, dtype=torch.float64)
    translations[:, 0] = -0.12 * torch.arange(count)
    rows, columns = torch.meshgrid(
        torch.arange(HEIGHT, dtype=torch.float64),
        torch.arange(WIDTH, dtype=torch.float64),
        indexing="ij",
    )
    u = (columns - (WIDTH - 1) / 2) / FOCAL
    v = (rows - (HEIGHT - 1) / 2) / FOCAL
    depths, greys = [], []
    for i in range(count):
        centre = float(-translations[i, 0])
        wall = (1.5 + 0.3 * centre) / (1.0 - 0.3 * u)
        grey = 0.6 + contrast * (texture(centre + u * wall, v * wall, 1) - 0.5)
        sky = v * wall < -0.25
        depth = torch.where(sky, torch.zeros_like(wall), wall)
        grey = torch.where(sky, torch.full_like(grey, 0.8), grey)
        board = ((centre + u) > 0.0) & ((centre + u) < 0.35) & (v > -0.1) & (v < 0.25)
        depth = torch.where(board, torch.ones_like(depth), depth)
        on_board = 0.4 + contrast * (texture(centre + u, v, 2) - 0.5)
        greys.append(torch.where(board, on_board, grey) + NOISE * noise(i))
        depths.append(depth)
    depth = torch.stack(depths)
    images = torch.stack(greys).to(torch.float32)[:, None].expand(-1, 3, -1, -1).contiguous()
    points, visible = sample_points(depth, translations)
    sparse = SparseModel(
        rotations=rotations,
        translations=translations,
        focal=torch.full([count], FOCAL, dtype=torch.float64),
        bend=torch.zeros(count, dtype=torch.float64),
        registered=torch.ones(count, dtype=torch.bool),
        points=points,
        visible=visible,
        report=torch.zeros(count, 8),
        reliability=torch.full([count], reliability),
        links=no_links(count, torch.device("cpu")),
    )
    return DenseScene(images, depth, sparse, torch.tensor([HEIGHT, WIDTH]))


def sample_points(depth: Tensor, translations: Tensor) -> tuple[Tensor, Tensor]:
    """True points [T, 3] on a pixel grid of the first camera, and their visibility [T, N]."""
    rows, columns = torch.meshgrid(
        torch.arange(3, HEIGHT, 7), torch.arange(3, WIDTH, 7), indexing="ij"
    )
    z = depth[0][rows, columns].flatten()
    x = (columns.flatten() - (WIDTH - 1) / 2) / FOCAL * z
    y = (rows.flatten() - (HEIGHT - 1) / 2) / FOCAL * z
    points = torch.stack([x, y, z], 1)[z > 0]
    shifted = (points[:, None, 0] + translations[None, :, 0]) / points[:, None, 2] * FOCAL
    return points, shifted.abs() < WIDTH / 2 - 1
