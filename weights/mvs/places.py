"""One vector for each frame, by which frames that show the same place are found among many.

Each of the strongest features votes for a few words: the signs of random projections of its
descriptor (locality-sensitive hashing, Charikar, "Similarity estimation techniques from rounding
algorithms", 2002). The words of a frame are summed into a vector with random places and signs
(Weinberger et al., "Feature hashing for large scale multitask learning", 2009), so that the scalar
product of two vectors estimates how many words the frames share.
"""

import torch
from torch import Tensor

from weights.mvs.features import Features
from weights.mvs.geometry import uniform_hash

STRONGEST: int = 500
"""Features of a frame that vote."""
BITS: int = 12
"""Projections of a word."""
TABLES: int = 8
"""Words of a feature."""
LENGTH: int = 4096
"""Length of the vector."""


def words_of(descriptors: Tensor, bits: int = BITS, tables: int = TABLES) -> Tensor:
    """The different words of the descriptors [K, D] of one frame, int64 [W]."""
    length = descriptors.size(1)
    directions = uniform_hash(length, bits * tables, 2, descriptors.device) - 0.5
    centred = descriptors - descriptors.mean(0, keepdim=True)
    signs = (centred @ directions.to(descriptors.dtype) > 0).reshape(-1, tables, bits)
    ones = torch.ones(bits, dtype=torch.int64, device=descriptors.device)
    powers = torch.bitwise_left_shift(ones, torch.arange(bits, device=descriptors.device))
    table = torch.arange(tables, device=descriptors.device) * (1 << bits)
    return torch.unique((signs * powers).sum(-1) + table)


def describe_places(features: Features, strongest: int = STRONGEST, length: int = LENGTH) -> Tensor:
    """Vectors float32 [N, 4096] of unit length, or of zeros for frames without features."""
    frames = features.valid.size(0)
    result = torch.zeros(frames, length, device=features.valid.device)
    for i in range(frames):
        rows = torch.nonzero(features.valid[i, :strongest])[:, 0]
        if rows.size(0) == 0:
            continue
        words = words_of(features.descriptors[i, rows])
        # Knuth's multiplicative hash; TorchScript's integers have 64 bits.
        scattered = (words * 2654435761) % 4294967296
        place = torch.div(scattered, 128, rounding_mode="floor") % length
        sign = torch.div(scattered, 8, rounding_mode="floor") % 2 * 2 - 1
        result[i].index_add_(0, place, sign.to(result.dtype))
        result[i] /= result[i].norm().clamp(min=1e-9)
    return result
