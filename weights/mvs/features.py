"""Sparse features of a frame and their descriptors, packed in a row."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.descriptor import describe, descriptor_length
from weights.mvs.detector import detect
from weights.mvs.scale_space import base_scale, scale_space


class Features(NamedTuple):
    """Up to `K` features of each of `N` frames; unused slots have `valid` false."""

    positions: Tensor
    """float32 [N, K, 2], pixels from the image centre (x right, y down)."""
    descriptors: Tensor
    """float32 [N, K, 128], unit length, strongest features first."""
    valid: Tensor
    """bool [N, K]."""


def feature_count() -> int:
    """Number of features kept per frame."""
    return 2000


def feature_length(height: int, width: int) -> int:
    """Length of the feature row of a frame of the given size."""
    return feature_count() * (descriptor_length() + 3)


def encode_frame(image: Tensor) -> Tensor:
    """Feature row [F] of one image float32 [3, H, W] in 0..1."""
    height, width = image.size(1), image.size(2)
    grey = image[0] * 0.299 + image[1] * 0.587 + image[2] * 0.114
    octaves = scale_space(grey)
    scale = base_scale(height, width)
    count = feature_count()
    positions, places, strengths = detect(octaves, scale, height, width, count)
    descriptors = describe(octaves, positions, places, scale)
    centre = torch.tensor([(width - 1) / 2.0, (height - 1) / 2.0], device=image.device)
    row = torch.zeros(count, descriptor_length() + 3, device=image.device)
    found = positions.size(0)
    row[:found, :2] = positions - centre
    row[:found, 2] = strengths
    row[:found, 3:] = descriptors
    return row.reshape(-1)


def encode_features(images: Tensor) -> Tensor:
    """float32 [n, 3, H, W] in 0..1 -> float32 [n, feature_length(H, W)].

    Encodes frames one by one, so that the result does not depend on their grouping.
    """
    rows = [encode_frame(images[i]) for i in range(images.size(0))]
    if len(rows) == 0:
        return torch.zeros(0, feature_length(images.size(2), images.size(3)), device=images.device)
    return torch.stack(rows)


def unpack_features(rows: Tensor) -> Features:
    """Rows of `encode_features` -> features."""
    slots = rows.reshape(rows.size(0), feature_count(), descriptor_length() + 3)
    return Features(
        positions=slots[:, :, :2].contiguous(),
        descriptors=slots[:, :, 3:].contiguous(),
        valid=slots[:, :, 2] > 0,
    )
