"""Correspondences of many pairs of frames in one padded table."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.contract.stopping import check
from weights.mvs.features import Features
from weights.mvs.lenses import Lenses, as_one_lens
from weights.mvs.matching import match_frames
from weights.mvs.overlap import candidate_pairs


class Correspondences(NamedTuple):
    """`M` slots for each of `P` pairs of frames, most distinctive first."""

    first: Tensor
    """int64 [P], frame index; smaller than `second`."""
    second: Tensor
    """int64 [P]."""
    slots1: Tensor
    """int64 [P, M], feature in the first frame."""
    slots2: Tensor
    """int64 [P, M]."""
    points1: Tensor
    """float64 [P, M, 2], pixels from the image centre."""
    points2: Tensor
    """float64 [P, M, 2]."""
    ratio: Tensor
    """float64 [P, M], distinctiveness (small is distinctive); 1 in unused slots."""
    valid: Tensor
    """bool [P, M]."""


def select_pairs(table: Correspondences, index: Tensor) -> Correspondences:
    """Select pairs by an int64 or bool index."""
    return Correspondences(
        first=table.first[index],
        second=table.second[index],
        slots1=table.slots1[index],
        slots2=table.slots2[index],
        points1=table.points1[index],
        points2=table.points2[index],
        ratio=table.ratio[index],
        valid=table.valid[index],
    )


def match_all(features: Features, capacity: int, stop: Tensor | None = None) -> Correspondences:
    """Correspondences of every candidate pair that has enough distinctive ones."""
    return match_pairs(features, candidate_pairs(features, stop=stop), capacity, stop)


def match_pairs(
    features: Features,
    pairs: list[tuple[int, int]],
    capacity: int,
    stop: Tensor | None = None,
) -> Correspondences:
    """Correspondences of those pairs that have enough distinctive ones."""
    device = features.positions.device
    first: list[int] = []
    second: list[int] = []
    slots1: list[Tensor] = []
    slots2: list[Tensor] = []
    ratios: list[Tensor] = []
    valid: list[Tensor] = []
    for one, two in pairs:
        check(stop)
        left, right, ratio = match_frames(features, one, two)
        if int((ratio < 0.85).sum()) < 15:
            continue
        found = min(left.size(0), capacity)
        row1 = torch.zeros(capacity, dtype=torch.int64, device=device)
        row2 = torch.zeros(capacity, dtype=torch.int64, device=device)
        row_ratio = torch.ones(capacity, dtype=torch.float64, device=device)
        row1[:found] = left[:found]
        row2[:found] = right[:found]
        row_ratio[:found] = ratio[:found].to(torch.float64)
        first.append(one)
        second.append(two)
        slots1.append(row1)
        slots2.append(row2)
        ratios.append(row_ratio)
        valid.append(torch.arange(capacity, device=device) < found)
    if len(first) == 0:
        none = torch.zeros(0, dtype=torch.int64, device=device)
        empty = torch.zeros(0, capacity, dtype=torch.int64, device=device)
        points = torch.zeros(0, capacity, 2, dtype=torch.float64, device=device)
        ratio = torch.ones(0, capacity, dtype=torch.float64, device=device)
        return Correspondences(none, none, empty, empty, points, points, ratio, ratio < 0)
    frames1 = torch.tensor(first, device=device)
    frames2 = torch.tensor(second, device=device)
    table1, table2 = torch.stack(slots1), torch.stack(slots2)
    return Correspondences(
        first=frames1,
        second=frames2,
        slots1=table1,
        slots2=table2,
        points1=features.positions[frames1[:, None], table1].to(torch.float64),
        points2=features.positions[frames2[:, None], table2].to(torch.float64),
        ratio=torch.stack(ratios),
        valid=torch.stack(valid),
    )


def for_one_lens(table: Correspondences, lenses: Lenses) -> Correspondences:
    """The correspondences as the lens of group 0 would record them without distortion."""
    return Correspondences(
        first=table.first,
        second=table.second,
        slots1=table.slots1,
        slots2=table.slots2,
        points1=as_one_lens(table.points1, table.first, lenses),
        points2=as_one_lens(table.points2, table.second, lenses),
        ratio=table.ratio,
        valid=table.valid,
    )
