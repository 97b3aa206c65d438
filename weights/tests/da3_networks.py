"""Small networks and images for the tests of Depth Anything 3."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from weights.da3.config import AnyConfig, Da3Config, MetricConfig, NestedConfig
from weights.da3.random_weights import randomise
from weights.da3.variants import Network, build_network

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
"""Like GIANT: gated blocks, and the first block after the per-frame blocks attends across
frames."""


TINY_METRIC = MetricConfig(
    name="tiny-metric",
    width=32,
    depth=6,
    heads=2,
    swiglu=False,
    taps=(1, 2, 3, 5),
    head_width=16,
    head_stages=(8, 12, 16, 24),
    license="Apache-2.0",
)
TINY_NESTED = NestedConfig(
    name="tiny-nested", any_view=TINY_GATED, metric=TINY_METRIC, license="CC-BY-NC-4.0"
)


def random_network(config: AnyConfig, seed: int = 0) -> Network:
    """A network with random weights that all affect the result."""
    network = build_network(config).requires_grad_(False)
    randomise(network, seed)
    return network


def smooth_frames(frames: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Unrelated uint8 images `[N, 3, H, W]` without sharp edges."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(frames, 3, height // 7 + 1, width // 7 + 1, generator=generator)
    pixels = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    return (pixels * 255).round().to(torch.uint8)
