"""From the contract's pixels to what the backbones take."""

import torch
from torch import Tensor, nn

CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue; the backbones were trained on images normalised by them."""


class PixelModel(nn.Module):
    """The base of the models: knows how to encode frames one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(CHANNEL_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(CHANNEL_DEVIATION).view(3, 1, 1))

    def batches(self, pixels: Tensor) -> list[Tensor]:
        """uint8 `[n, 3, H, W]` -> normalised images in batches that are encoded at once.

        On the CPU each frame is a batch, because matrix products round differently with their size
        and a frame's features must not depend on the others. On CUDA, where small batches waste
        the device, all frames are one: there, features depend on the grouping in their last bits.
        """
        images = [pixels] if pixels.is_cuda else list(pixels.split(1))
        return [(image.to(torch.float32) / 255.0 - self.mean) / self.deviation for image in images]
