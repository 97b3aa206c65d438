"""Synthetic observations with ground truth for the tests of the sparse reconstruction."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.features import feature_count
from weights.mvs.geometry import rotation_from_vector

SIZE = torch.tensor([252, 336])
"""Height and width of the observed images."""


class SyntheticScene(NamedTuple):
    """Cameras and points; each point has a unique descriptor."""

    rotations: Tensor
    translations: Tensor
    focal: float
    points: Tensor
    descriptors: Tensor


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(
    frames: int,
    focal: float = 320.0,
    baseline: float = 1.0,
    flat: bool = False,
    seed: int = 0,
    count: int = 400,
) -> SyntheticScene:
    """Cameras on an arc, `baseline` from end to end, that look at points at a distance of about 4,
    inside a box or, if `flat`, on a slanted plane."""
    random = generator(seed)
    spread = torch.rand(count, 3, generator=random, dtype=torch.float64) - 0.5
    points = spread * torch.tensor([3.0, 2.2, 2.0], dtype=torch.float64)
    if flat:
        points[:, 2] = 0.4 * points[:, 0] + 0.2 * points[:, 1]
    points[:, 2] += 4.0
    along = torch.linspace(-0.5, 0.5, frames, dtype=torch.float64)
    centres = torch.stack(
        [along * baseline, 0.2 * baseline * along.square(), 0.1 * baseline * along], dim=1
    )
    turns = torch.stack([0.03 * along.cos(), along * baseline / 4.0, 0.02 * along], dim=1)
    rotations = rotation_from_vector(turns)
    translations = -(rotations @ centres[:, :, None])[:, :, 0]
    # The world frame is the first camera's.
    points = points @ rotations[0].t() + translations[0]
    relative = rotations @ rotations[0].t()
    translations = translations - (relative @ translations[0])
    descriptors = torch.rand(count, 128, generator=random).square()
    return SyntheticScene(relative, translations, focal, points, descriptors)


def pixels_of(truth: SyntheticScene) -> tuple[Tensor, Tensor]:
    """Centred pixels [T, N, 2] and depths [T, N] of all points in all cameras."""
    placed = torch.einsum("nij,tj->tni", truth.rotations, truth.points) + truth.translations
    return truth.focal * placed[..., :2] / placed[..., 2:], placed[..., 2]


def pack(positions: Tensor, descriptors: Tensor) -> Tensor:
    """The feature row of one frame from positions [k, 2] and descriptors [k, 128]."""
    row = torch.zeros(feature_count(), 131)
    count = min(positions.size(0), feature_count())
    row[:count, :2] = positions[:count]
    row[:count, 2] = 1.0
    row[:count, 3:] = torch.nn.functional.normalize(descriptors[:count], dim=1)
    return row.reshape(-1)


def feature_rows(truth: SyntheticScene, noise: float = 0.2, seed: int = 1) -> Tensor:
    """Feature rows [N, F] in the detector's format, in a different order in each frame."""
    random = generator(seed)
    pixels, depths = pixels_of(truth)
    half = torch.tensor([SIZE[1], SIZE[0]]) / 2.0
    rows = []
    for frame in range(pixels.size(1)):
        inside = (pixels[:, frame].abs() < half).all(dim=1) & (depths[:, frame] > 0)
        index = torch.nonzero(inside)[:, 0]
        index = index[torch.randperm(index.size(0), generator=random)]
        found = pixels[index, frame].to(torch.float32)
        found = found + noise * torch.randn(found.shape, generator=random)
        shape = truth.descriptors[index]
        rows.append(pack(found, shape + 0.02 * torch.rand(shape.shape, generator=random)))
    return torch.stack(rows)
