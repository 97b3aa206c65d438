"""Which pairs of frames to match: those that seem to show the same, whatever their order.

Few frames are matched all with all. Of many, the strongest features decide: each frame is matched
with those that share most of them.
"""

import torch
from torch import Tensor

from weights.contract.stopping import check
from weights.mvs.descriptor import rolled
from weights.mvs.features import Features

MATCH_ALL: int = 16
"""Up to so many frames all pairs are matched."""
STRONGEST: int = 256
"""Features of a frame that are compared."""
PARTNERS: int = 10
"""Frames to match each frame with."""
PARTNERS_OF_NEW: int = 7
"""The same for frames that are placed among others: they are matched with the next ones, too, when
those come."""
UPRIGHT: int = 12
"""Shared features with one other frame from which a frame is taken to be upright."""


def count_shared(one: Tensor, others: Tensor) -> Tensor:
    """Number of distinctive mutual nearest neighbours between descriptors [K, D] and each of
    [n, K, D], int64 [n]. A descriptor of zeros has no neighbour."""
    similarity = others @ one.t()
    best, partner = similarity.max(dim=2)
    mutual = best >= similarity.amax(dim=1).gather(1, partner)
    similarity.scatter_(2, partner[:, :, None], -1.0)
    second = similarity.amax(dim=2)
    distinctive = (2.0 - 2.0 * best) < 0.64 * (2.0 - 2.0 * second)
    return (mutual & distinctive & (best > 0.1)).sum(1)


def shared_with(
    rows: list[int],
    features: Features,
    strongest: int = STRONGEST,
    upright: int = UPRIGHT,
    stop: Tensor | None = None,
) -> Tensor:
    """Number of the strongest features that the frames `rows` share with each frame, int64
    [len(rows), N], 0 with themselves.

    Frames that share few with every other one are compared in all quarter turns.
    """
    descriptors = features.descriptors[:, :strongest]
    descriptors = descriptors * features.valid[:, :strongest, None]
    shared = torch.zeros(
        len(rows), descriptors.size(0), dtype=torch.int64, device=descriptors.device
    )
    for row, i in enumerate(rows):
        check(stop)
        shared[row] = count_shared(descriptors[i], descriptors)
        shared[row, i] = 0
        if int(shared[row].max()) >= upright:
            continue
        for turns in range(1, 4):
            counts = count_shared(rolled(descriptors[i], turns), descriptors)
            counts[i] = 0
            shared[row] = torch.maximum(shared[row], counts)
    return shared


def shared_features(
    features: Features,
    strongest: int = STRONGEST,
    upright: int = UPRIGHT,
    stop: Tensor | None = None,
) -> Tensor:
    """Number of the strongest features that two frames share, int64 [N, N], 0 on the diagonal.

    Frames that share few with every other one are compared in all quarter turns.
    """
    descriptors = features.descriptors[:, :strongest]
    descriptors = descriptors * features.valid[:, :strongest, None]
    frames = descriptors.size(0)
    shared = torch.zeros(frames, frames, dtype=torch.int64, device=descriptors.device)
    for i in range(frames - 1):
        check(stop)
        counts = count_shared(descriptors[i], descriptors[i + 1 :])
        shared[i, i + 1 :] = counts
        shared[i + 1 :, i] = counts
    for i in range(frames):
        check(stop)
        if int(shared[i].max()) >= upright:
            continue
        for turns in range(1, 4):
            counts = count_shared(rolled(descriptors[i], turns), descriptors)
            counts[i] = 0
            shared[i] = torch.maximum(shared[i], counts)
            shared[:, i] = torch.maximum(shared[:, i], counts)
    return shared


def candidate_pairs(
    features: Features,
    match_all: int = MATCH_ALL,
    partners: int = PARTNERS,
    stop: Tensor | None = None,
) -> list[tuple[int, int]]:
    """Pairs of frames to match, in ascending order."""
    frames = features.valid.size(0)
    chosen = torch.ones(frames, frames, dtype=torch.bool)
    if frames > match_all:
        shared = shared_features(features, stop=stop).cpu()
        best = torch.topk(shared, partners, dim=1)
        chosen = torch.zeros(frames, frames, dtype=torch.bool)
        chosen.scatter_(1, best.indices, best.values > 0)
        chosen = chosen | chosen.t()
    pairs: list[tuple[int, int]] = []
    for first in range(frames):
        for second in range(first + 1, frames):
            if bool(chosen[first, second]):
                pairs.append((first, second))
    return pairs


def pairs_with_new(
    new: list[int], shared: Tensor, partners: int = PARTNERS_OF_NEW
) -> list[tuple[int, int]]:
    """Pairs of frames to match, each with at least one new frame; `shared` [len(new), N] is the
    result of `shared_with` for them."""
    frames = shared.size(1)
    chosen = torch.zeros(frames, frames, dtype=torch.bool)
    best = torch.topk(shared.cpu(), min(partners, frames), dim=1)
    for row, i in enumerate(new):
        for k in range(best.indices.size(1)):
            if int(best.values[row, k]) > 0:
                other = int(best.indices[row, k])
                chosen[min(i, other), max(i, other)] = True
    pairs: list[tuple[int, int]] = []
    for first in range(frames):
        for second in range(first + 1, frames):
            if bool(chosen[first, second]):
                pairs.append((first, second))
    return pairs
