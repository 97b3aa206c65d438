"""Box filters and pyramids as shifted sums; on the CPU much faster than pooling or convolution."""

from torch import Tensor
from torch.nn import functional


def running_sum(values: Tensor, length: int, dim: int) -> Tensor:
    """Sums of `length` neighbours along `dim`, which shrinks by `length - 1`.

    Computes sums of 1, 2, 4, ... neighbours by doubling and adds those in the binary form of
    `length`, so the cost grows with the logarithm of `length`.
    """
    size = values.size(dim) - length + 1
    power = values
    width = 1
    offset = 0
    total = values.narrow(dim, 0, size)
    started = False
    remaining = length
    while remaining > 0:
        if remaining % 2 == 1:
            part = power.narrow(dim, offset, size)
            total = total + part if started else part
            started = True
            offset += width
        remaining = remaining // 2
        if remaining > 0:
            last = power.size(dim) - width
            power = power.narrow(dim, 0, last) + power.narrow(dim, width, last)
            width *= 2
    return total


def box_mean(images: Tensor, radius: int) -> Tensor:
    """Mean of `images` [B, H, W] over square windows of `2 radius + 1` pixels; edges repeated."""
    side = 2 * radius + 1
    padded = functional.pad(images, [radius, radius, radius, radius], mode="replicate")
    return running_sum(running_sum(padded, side, 2), side, 1).mul_(1.0 / (side * side))


def halve(images: Tensor) -> Tensor:
    """Means of 2x2 blocks of `images` [B, H, W]; an odd last row or column is repeated."""
    height = images.size(1)
    width = images.size(2)
    if height % 2 == 1 or width % 2 == 1:
        images = functional.pad(images, [0, width % 2, 0, height % 2], mode="replicate")
    rows = images[:, 0::2] + images[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]).mul_(0.25)


def pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Pyramid of `images` [B, H, W] with `levels` levels, the finest first."""
    result = [images]
    for _ in range(levels - 1):
        result.append(halve(result[-1]))
    return result


def double(image: Tensor, height: int, width: int) -> Tensor:
    """Nearest-neighbour upsampling of `image` [h, w] by 2, cut to `height` and `width`."""
    return image.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width].contiguous()


def shifted(image: Tensor, rows: int, columns: int) -> Tensor:
    """`image` [H, W] shifted: pixel (y, x) becomes (y + rows, x + columns); edges repeated."""
    height = image.size(0)
    width = image.size(1)
    up = max(0, -rows)
    down = max(0, rows)
    left = max(0, -columns)
    right = max(0, columns)
    padded = functional.pad(image[None], [left, right, up, down], mode="replicate")[0]
    return padded[rows + up : rows + up + height, columns + left : columns + left + width]
