"""Putative correspondences between two frames: mutual nearest neighbours with a ratio test."""

import torch
from torch import Tensor

from weights.mvs.descriptor import rolled
from weights.mvs.features import Features


def mutual_neighbours(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mutual nearest neighbours among descriptors [A, D] and [B, D] of unit length.

    Returns indices into both and the ratio in 0..1 of the distance to the nearest over that to
    the second nearest, the larger of the two directions (Lowe's measure of distinctiveness).
    """
    similarity = first @ second.t()
    nearest, partner = similarity.max(dim=1)
    mutual = torch.nonzero(nearest >= similarity.amax(dim=0)[partner])[:, 0]
    other = partner[mutual]
    best = nearest[mutual]
    similarity[mutual, other] = -1.0
    runner_up = torch.maximum(similarity[mutual].amax(dim=1), similarity.amax(dim=0)[other])
    ratio = ((2.0 - 2.0 * best).clamp(min=1e-6) / (2.0 - 2.0 * runner_up).clamp(min=1e-6)).sqrt()
    return mutual, other, ratio


def quarter_turns(first: Tensor, second: Tensor) -> int:
    """Number of quarter turns that rotate the second frame to the first.

    Upright (0) unless another rotation finds clearly more distinctive matches.
    """
    best = 0
    most = -1.0
    for turns in range(4):
        _, _, ratio = mutual_neighbours(first, rolled(second, turns))
        found = float((ratio < 0.8).sum())
        if turns == 0:
            # A wrong turn finds a handful.
            if found >= 40.0:
                return 0
            found = 1.5 * found + 4.0
        if found > most:
            most = found
            best = turns
    return best


def match_frames(features: Features, first: int, second: int) -> tuple[Tensor, Tensor, Tensor]:
    """Correspondences of two frames, most distinctive first.

    Returns slots in both frames int64 [M] and ratios [M] (small is distinctive).
    """
    slots_first = torch.nonzero(features.valid[first])[:, 0]
    slots_second = torch.nonzero(features.valid[second])[:, 0]
    if slots_first.size(0) < 8 or slots_second.size(0) < 8:
        none = slots_first[:0]
        return none, none, torch.zeros(0, device=features.positions.device)
    one = features.descriptors[first, slots_first]
    two = features.descriptors[second, slots_second]
    turns = quarter_turns(one[:400], two[:400])
    if turns != 0:
        two = rolled(two, turns)
    left, right, ratio = mutual_neighbours(one, two)
    keep = torch.nonzero(ratio < 0.92)[:, 0]
    order = keep[torch.argsort(ratio[keep], stable=True)]
    return slots_first[left[order]], slots_second[right[order]], ratio[order]
