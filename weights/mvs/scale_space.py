"""Gaussian scale space of one image (Lowe, "Distinctive image features", 2004, section 3)."""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blur [C, H, W] with replicated borders.

    Shifted sums: on the CPU several times faster than a convolution with one channel.
    """
    radius = int(math.ceil(2.8 * sigma))
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(radius + 1)]
    total = weights[0]
    for i in range(1, radius + 1):
        total += 2.0 * weights[i]
    height, width = image.size(1), image.size(2)
    padded = functional.pad(image[None], [radius, radius, radius, radius], mode="replicate")[0]
    rows = padded[:, radius : radius + height] * (weights[0] / total)
    for i in range(1, radius + 1):
        rows.add_(padded[:, radius - i : radius - i + height], alpha=weights[i] / total)
        rows.add_(padded[:, radius + i : radius + i + height], alpha=weights[i] / total)
    blurred = rows[:, :, radius : radius + width] * (weights[0] / total)
    for i in range(1, radius + 1):
        blurred.add_(rows[:, :, radius - i : radius - i + width], alpha=weights[i] / total)
        blurred.add_(rows[:, :, radius + i : radius + i + width], alpha=weights[i] / total)
    return blurred


def base_scale(height: int, width: int) -> float:
    """Scale factor of the image before the first octave, so that small images yield enough features
    and large images stay cheap."""
    return min(2.0, max(1.0, 1008.0 / float(max(height, width))))


def scale_space(grey: Tensor) -> list[Tensor]:
    """[H, W] -> one tensor [6, h, w] per octave; level `l` has blur 1.6 * 2^(l / 3) pixels.

    Octave `o` has `base_scale / 2^o` times the size of the image. There is always at least one.
    """
    height, width = grey.size(0), grey.size(1)
    scale = base_scale(height, width)
    image = grey[None]
    if scale > 1.0:
        size = [int(height * scale + 0.5), int(width * scale + 0.5)]
        image = functional.interpolate(
            image[None], size=size, mode="bilinear", align_corners=False
        )[0]
    # Assume that the photo already has a blur of half a pixel.
    level = gaussian_blur(image, math.sqrt(1.6**2 - (0.5 * scale) ** 2))
    octaves: list[Tensor] = []
    for octave in range(5):
        if octave > 0 and min(level.size(1), level.size(2)) < 24:
            break
        levels = [level]
        for index in range(1, 6):
            sigma = 1.6 * math.pow(2.0, (index - 1) / 3.0)
            levels.append(
                gaussian_blur(levels[-1], sigma * math.sqrt(math.pow(2.0, 2.0 / 3.0) - 1.0))
            )
        octaves.append(torch.cat(levels))
        level = levels[3][:, ::2, ::2].contiguous()
    return octaves
