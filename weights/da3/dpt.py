"""The common part of the depth heads: a dense prediction transformer (DPT, arXiv 2103.13413).

It converts the tokens of four taps to maps of four resolutions and merges them from coarse to fine.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from weights.da3.config import PATCH_SIZE, VitConfig
from weights.da3.uv_embedding import add_uv_embedding

OUTPUT_WIDTH = 32
"""Channels before the last layer."""
LARGEST_EXPONENT = 60.0
"""Upper bound of logits, so that the exponential is finite for any weights and images."""


class ResidualConvolutions(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, width, h, w]` -> `[n, width, h, w]`."""
        return self.conv2(F.relu(self.conv1(F.relu(x)), inplace=True)).add_(x)


class Fusion(nn.Module):
    """Refine coarse maps and enlarge them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resConfUnit2 = ResidualConvolutions(width)
        self.out_conv = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """`[n, C, h, w]` -> `[n, C, height, width]`."""
        # A 1x1 convolution and interpolation commute: interpolation weights sum to one. The
        # convolution is cheaper at the smaller size.
        return resize(self.out_conv(self.resConfUnit2(x)), height, width)


class SkipFusion(Fusion):
    """Add a finer stage to coarse maps, refine and enlarge them."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.resConfUnit1 = ResidualConvolutions(width)

    def fuse(self, x: Tensor, finer: Tensor, height: int, width: int) -> Tensor:
        """`x` and `finer` `[n, C, h, w]` -> `[n, C, height, width]`."""
        return self.forward(self.resConfUnit1(finer).add_(x), height, width)


class Scratch(nn.Module):
    """Merges the four stages; the name is that of the checkpoints."""

    def __init__(self, stages: tuple[int, int, int, int], width: int) -> None:
        super().__init__()
        self.layer1_rn = nn.Conv2d(stages[0], width, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(stages[1], width, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(stages[2], width, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(stages[3], width, 3, padding=1, bias=False)
        self.refinenet1 = SkipFusion(width)
        self.refinenet2 = SkipFusion(width)
        self.refinenet3 = SkipFusion(width)
        self.refinenet4 = Fusion(width)
        self.output_conv1 = nn.Conv2d(width, width // 2, 3, padding=1)

    def merge(self, stages: list[Tensor], height: int, width: int) -> Tensor:
        """Four stages, from fine to coarse -> `[n, C / 2, height, width]`."""
        level1 = self.layer1_rn(stages[0])
        level2 = self.layer2_rn(stages[1])
        level3 = self.layer3_rn(stages[2])
        level4 = self.layer4_rn(stages[3])
        x = self.refinenet4(level4, level3.size(2), level3.size(3))
        x = self.refinenet3.fuse(x, level3, level2.size(2), level2.size(3))
        x = self.refinenet2.fuse(x, level2, level1.size(2), level1.size(3))
        x = self.refinenet1.fuse(x, level1, 2 * level1.size(2), 2 * level1.size(3))
        return resize(self.output_conv1(x), height, width)


class Stages(nn.Module):
    """Converts the tokens of four taps to maps of four resolutions; base class of the heads."""

    def __init__(self, config: VitConfig, token_width: int, norm: nn.Module, placed: bool) -> None:
        """`placed`: whether to add a positional embedding to the maps."""
        super().__init__()
        stages = config.head_stages
        self.patch_size = PATCH_SIZE
        self.largest_exponent = LARGEST_EXPONENT
        self.placed = placed
        self.norm = norm
        self.projects = nn.ModuleList(nn.Conv2d(token_width, stage, 1) for stage in stages)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(stages[0], stages[0], 4, 4),
                nn.ConvTranspose2d(stages[1], stages[1], 2, 2),
                nn.Identity(),
                nn.Conv2d(stages[3], stages[3], 3, 2, padding=1),
            ]
        )

    def stages(self, taps: Tensor, height: int, width: int) -> list[Tensor]:
        """Taps `[n, 4, P, C]` of P patches, of any type -> four maps, from fine to coarse."""
        rows = height // self.patch_size
        columns = width // self.patch_size
        dtype = self.projects[0].weight.dtype
        stages: list[Tensor] = []
        for i, project in enumerate(self.projects):
            # Channels-last memory layout, which the convolutions keep.
            tokens = self.norm(taps[:, i].to(dtype)).unflatten(1, [rows, columns])
            maps = project(tokens.permute(0, 3, 1, 2))
            stages.append(add_uv_embedding(maps, width / height) if self.placed else maps)
        for i, resize_layer in enumerate(self.resize_layers):
            stages[i] = resize_layer(stages[i])
        return stages

    def exponential(self, logits: Tensor) -> Tensor:
        """Positive and finite exponential of logits, in float32: fp16 ends at 65504."""
        logits = logits.to(torch.float32)
        return logits.clamp(-self.largest_exponent, self.largest_exponent).exp()


def output_layers(width: int, channels: int) -> nn.Sequential:
    """The last layers of a head, at the size of the image."""
    return nn.Sequential(
        nn.Conv2d(width, OUTPUT_WIDTH, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(OUTPUT_WIDTH, channels, 1),
    )


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize bilinearly with aligned corners."""
    return F.interpolate(x, [height, width], mode="bilinear", align_corners=True)
