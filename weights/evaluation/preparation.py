"""Photos as the service gives them to a model, and where their pixels come from.

Mirrors `preprocess` (method `upper_bound_resize`) and `center_crop` of the crate
`pointstream-reconstruction`. OpenCV computes the same samples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from weights.evaluation.photos import Array, Photos, read_photo


class Device(NamedTuple):
    """How another camera would have taken a photo."""

    zoom: float = 1.0
    """The middle of the photo, its sides divided by this; the focal length grows by it."""
    reduction: float = 1.0
    """Factor of the number of pixels along a side."""


class Prepared(NamedTuple):
    """`N` frames, and the maps of pixels from the reference to the frames."""

    images: NDArray[np.uint8]
    """[N, H, W, 3], RGB."""
    scale: Array
    """[N, 2]: pixels of the frame per pixel of the reference, along x and y."""
    offset: Array
    """[N, 2]: position of the reference's corner, in pixels of the frame."""

    def to_frame(self, frames: NDArray[np.int64], pixels: Array) -> Array:
        """Map pixels [P, 2] of the reference into their frames [P]."""
        return pixels * self.scale[frames] + self.offset[frames]

    def grid(self, frame: int) -> Array:
        """Pixels [P, 2] of the reference that are evenly spread over a frame."""
        height, width = self.images.shape[1:3]
        x, y = np.meshgrid(np.linspace(0, width, 33), np.linspace(0, height, 33))
        return (np.stack([x.ravel(), y.ravel()], axis=1) - self.offset[frame]) / self.scale[frame]


def prepare(
    photos: Photos,
    frames: Sequence[int],
    devices: Sequence[Device],
    process_res: int,
    patch_size: int,
    noise_seed: int | None = None,
) -> Prepared:
    """Prepare some of the photos, each as taken by a device.

    With a seed, every sample of the result gets noise with a deviation of one grey level.
    """
    images, scales, offsets = [], [], []
    for frame, device in zip(frames, devices, strict=True):
        image = read_photo(photos.paths[frame])
        scale = np.array(image.shape[1::-1]) / np.array(photos.size)
        cut, corner = _cut(image, device.zoom)
        reduced = _reduce(cut, device.reduction)
        result = preprocess(reduced, process_res, patch_size)
        growth = np.array(result.shape[1::-1]) / np.array(cut.shape[1::-1])
        images.append(result)
        scales.append(scale * growth)
        offsets.append(-corner * growth)
    height = min(image.shape[0] for image in images)
    width = min(image.shape[1] for image in images)
    for index, image in enumerate(images):
        # Python rounds ties to even, as the service does.
        top, left = round((image.shape[0] - height) / 2), round((image.shape[1] - width) / 2)
        images[index] = image[top : top + height, left : left + width]
        offsets[index] = offsets[index] - np.array([left, top])
    stacked = np.stack(images)
    if noise_seed is not None:
        noise = np.random.default_rng(noise_seed).standard_normal(stacked.shape, np.float32)
        stacked = np.clip(np.rint(stacked + noise), 0, 255).astype(np.uint8)
    return Prepared(stacked, np.stack(scales), np.stack(offsets))


def preprocess(image: NDArray[np.uint8], process_res: int, patch_size: int) -> NDArray[np.uint8]:
    """Resize to the processing resolution, then to multiples of the patch size."""
    height, width = image.shape[:2]
    scale = process_res / max(height, width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = _resize(image, width, height)
    return _resize(scaled, _multiple(width, patch_size), _multiple(height, patch_size))


def _multiple(side: int, patch_size: int) -> int:
    """The nearest multiple of the patch size; the larger of two equally near ones."""
    return (side + patch_size // 2) // patch_size * patch_size


def _resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    grows = width > image.shape[1] or height > image.shape[0]
    interpolation = cv2.INTER_CUBIC if grows else cv2.INTER_AREA
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8)


def _cut(image: NDArray[np.uint8], zoom: float) -> tuple[NDArray[np.uint8], Array]:
    """The middle of an image, and the position of its corner."""
    height, width = round(image.shape[0] / zoom), round(image.shape[1] / zoom)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    corner = np.array([left, top], np.float64)
    return np.ascontiguousarray(image[top : top + height, left : left + width]), corner


def _reduce(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    return _resize(image, round(image.shape[1] * factor), round(image.shape[0] * factor))
