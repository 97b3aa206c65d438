"""Small networks and images for the tests of Depth Anything 3."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from weights.da3.config import Da3Config
from weights.da3.network import Da3Network
from weights.da3.random_weights import randomise

TINY = Da3Config(
    name="tiny",
    width=32,
    depth=10,
    heads=2,
    swiglu=False,
    first_related=2,
    taps=(3, 5, 7, 9),
    head_width=16,
    head_stages=(8, 12, 16, 24),
    license="Apache-2.0",
)
TINY_GATED = Da3Config(
    name="tiny-gated",
    width=48,
    depth=12,
    heads=3,
    swiglu=True,
    first_related=3,
    taps=(5, 7, 9, 11),
    head_width=16,
    head_stages=(16, 16, 24, 24),
    license="Apache-2.0",
)
"""Like the giant size: gated blocks, and the first block after the per-frame ones sees all."""


def random_network(config: Da3Config, seed: int = 0) -> Da3Network:
    """A network with lively random weights."""
    network = Da3Network(config).eval().requires_grad_(False)
    randomise(network, seed)
    return network


def smooth_frames(frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Unrelated uint8 images `[N, 3, H, W]` without sharp edges."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(frames, 3, height // 7 + 1, width // 7 + 1, generator=generator)
    pixels = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    return (pixels * 255).round().to(torch.uint8)
