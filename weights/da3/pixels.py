"""Conversion of the contract's pixels to the input of the backbones."""

import torch
from torch import Tensor, nn

CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_DEVIATION = (0.229, 0.224, 0.225)
"""RGB statistics of ImageNet; the backbones were trained on images normalised with them."""


class PixelModel(nn.Module):
    """Base class of the models: normalises frames and groups them for encoding."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(CHANNEL_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(CHANNEL_DEVIATION).view(3, 1, 1))

    def batches(self, pixels: Tensor) -> list[Tensor]:
        """uint8 `[n, 3, H, W]` -> normalised images in batches to encode.

        On the CPU each frame is its own batch: matrix products round differently depending on their
        size, and a frame's features must not depend on other frames. On CUDA small batches would
        waste the device, so all frames form one batch, and the last bits of features may depend on
        the grouping.
        """
        images = [pixels] if pixels.is_cuda else list(pixels.split(1))
        return [(image.to(torch.float32) / 255.0 - self.mean) / self.deviation for image in images]
