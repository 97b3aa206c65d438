"""The monocular network's depth head: depth and sky."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from weights.da3.config import MetricConfig
from weights.da3.dpt import Scratch, Stages, output_layers


class SkyScratch(Scratch):
    """Merges the stages and predicts depth and sky."""

    def __init__(self, config: MetricConfig) -> None:
        super().__init__(config.head_stages, config.head_width)
        self.output_conv2 = output_layers(config.head_width // 2, 1)
        self.sky_output_conv2 = output_layers(config.head_width // 2, 1)

    def forward(self, stages: list[Tensor], height: int, width: int) -> Tensor:
        """Four stages, from fine to coarse -> logits `[n, 2, height, width]`."""
        x = self.merge(stages, height, width)
        return torch.cat([self.output_conv2(x), self.sky_output_conv2(x)], 1)


class SkyDpt(Stages):
    """Depth and sky of every pixel from the taps of the backbone."""

    def __init__(self, config: MetricConfig) -> None:
        super().__init__(config, config.width, nn.Identity(), placed=False)
        self.scratch = SkyScratch(config)

    def forward(self, taps: Tensor, height: int, width: int) -> Tensor:
        """Taps `[n, 4, P, width]` of P patches -> float32 `[n, 2, H, W]`.

        Channel 0 is depth > 0 in the canonical unit, channel 1 is sky >= 0.
        """
        logits = self.scratch(self.stages(taps, height, width), height, width)
        sky = F.relu(logits[:, 1]).to(torch.float32)
        return torch.stack([self.exponential(logits[:, 0]), sky], 1)
