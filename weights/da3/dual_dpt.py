"""The any-view network's depth head: depth and confidence.

The official head has a second branch for rays. It is omitted, because the camera decoder provides
the poses.
"""

import torch
from torch import Tensor, nn

from weights.da3.config import Da3Config
from weights.da3.dpt import Scratch, Stages, output_layers
from weights.da3.uv_embedding import add_uv_embedding


class DualScratch(Scratch):
    """Merges the stages and predicts depth and confidence."""

    def __init__(self, config: Da3Config) -> None:
        super().__init__(config.head_stages, config.head_width)
        self.output_conv2 = output_layers(config.head_width // 2, 2)

    def forward(self, stages: list[Tensor], height: int, width: int) -> Tensor:
        """Four stages, from fine to coarse -> logits `[n, 2, height, width]`."""
        x = self.merge(stages, height, width)
        return self.output_conv2(add_uv_embedding(x, width / height))


class DualDpt(Stages):
    """Depth and confidence of every pixel from the taps of the backbone."""

    def __init__(self, config: Da3Config) -> None:
        token_width = 2 * config.width
        super().__init__(config, token_width, nn.LayerNorm(token_width), placed=True)
        self.scratch = DualScratch(config)

    def forward(self, taps: Tensor, height: int, width: int) -> Tensor:
        """Taps `[n, 4, P, 2 * width]` of P patches -> float32 `[n, 2, H, W]`.

        Channel 0 is depth > 0, channel 1 is confidence >= 1.
        """
        logits = self.scratch(self.stages(taps, height, width), height, width)
        values = self.exponential(logits)
        return torch.stack([values[:, 0], values[:, 1] + 1.0], 1)
