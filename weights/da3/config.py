"""The networks of Depth Anything 3 and their sizes."""

from dataclasses import dataclass

PATCH_SIZE = 14
POSITION_GRID = 37
"""Rows and columns of the learned position embedding: DINOv2 was trained at 518 pixels."""


@dataclass(frozen=True)
class VitConfig:
    """A vision transformer and a depth head on four of its blocks."""

    name: str
    width: int
    """Length of a token."""
    depth: int
    """Number of transformer blocks."""
    heads: int
    """Attention heads of a block."""
    swiglu: bool
    """Whether the blocks have a SwiGLU instead of a two-layer perceptron."""
    taps: tuple[int, int, int, int]
    """The blocks whose output the depth head reads."""
    head_width: int
    """Channels of the depth head's fusion."""
    head_stages: tuple[int, int, int, int]
    """Channels of the depth head's four stages, from fine to coarse."""
    license: str
    """SPDX identifier of the official checkpoint's licence."""


@dataclass(frozen=True)
class Da3Config(VitConfig):
    """One size of the any-view network."""

    first_related: int
    """Index of the first cross-frame stage: earlier blocks attend within a frame; from it on odd
    blocks attend across all frames. Every tap is a cross-frame block."""

    def __post_init__(self) -> None:
        for tap in self.taps:
            if tap % 2 == 0 or not self.first_related < tap < self.depth:
                raise ValueError(f"block {tap} of {self.name} does not see all frames")


SMALL = Da3Config(
    name="da3-small",
    width=384,
    depth=12,
    heads=6,
    swiglu=False,
    first_related=4,
    taps=(5, 7, 9, 11),
    head_width=64,
    head_stages=(48, 96, 192, 384),
    license="Apache-2.0",
)
BASE = Da3Config(
    name="da3-base",
    width=768,
    depth=12,
    heads=12,
    swiglu=False,
    first_related=4,
    taps=(5, 7, 9, 11),
    head_width=128,
    head_stages=(96, 192, 384, 768),
    license="Apache-2.0",
)
LARGE = Da3Config(
    name="da3-large",
    width=1024,
    depth=24,
    heads=16,
    swiglu=False,
    first_related=8,
    taps=(11, 15, 19, 23),
    head_width=256,
    head_stages=(256, 512, 1024, 1024),
    license="CC-BY-NC-4.0",
)
GIANT = Da3Config(
    name="da3-giant",
    width=1536,
    depth=40,
    heads=24,
    swiglu=True,
    first_related=13,
    taps=(19, 27, 33, 39),
    head_width=256,
    head_stages=(256, 512, 1024, 1024),
    license="CC-BY-NC-4.0",
)
ANY_VIEW = {config.name: config for config in (SMALL, BASE, LARGE, GIANT)}
"""Every size of the any-view network by its name."""


@dataclass(frozen=True)
class MetricConfig(VitConfig):
    """The monocular network: metric depth and sky of single frames."""


@dataclass(frozen=True)
class NestedConfig:
    """An any-view network scaled to metres by a monocular metric network."""

    name: str
    any_view: Da3Config
    metric: MetricConfig
    license: str
    """SPDX identifier of the official checkpoint's licence."""


METRIC_LARGE = MetricConfig(
    name="da3metric-large",
    width=1024,
    depth=24,
    heads=16,
    swiglu=False,
    taps=(4, 11, 17, 23),
    head_width=256,
    head_stages=(256, 512, 1024, 1024),
    license="Apache-2.0",
)
NESTED_GIANT_LARGE = NestedConfig(
    name="da3nested-giant-large",
    any_view=GIANT,
    metric=METRIC_LARGE,
    license="CC-BY-NC-4.0",
)
AnyConfig = Da3Config | MetricConfig | NestedConfig
CONFIGS: dict[str, AnyConfig] = {
    **ANY_VIEW,
    METRIC_LARGE.name: METRIC_LARGE,
    NESTED_GIANT_LARGE.name: NESTED_GIANT_LARGE,
}
"""Every network by its name."""
