"""Tracks: features of several frames that show the same point, merged across pairs."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.correspondences import Correspondences

PER_FRAME: int = 400
"""Tracks of each frame that are kept at least."""
IN_ALL: int = 6000
"""Tracks that are kept at least."""


class Tracks(NamedTuple):
    """`T` tracks over `N` frames, the longest first."""

    pixels: Tensor
    """float64 [T, N, 2], pixels from the image centre; 0 where not observed."""
    observed: Tensor
    """bool [T, N]."""


def connected_components(nodes: int, left: Tensor, right: Tensor) -> Tensor:
    """The smallest node of each node's component, int64 [nodes], for edges [E] between them."""
    labels = torch.arange(nodes, device=left.device)
    for _round in range(100):
        lowest = torch.minimum(labels[left], labels[right])
        spread = labels.scatter_reduce(0, left, lowest, "amin")
        spread = spread.scatter_reduce(0, right, lowest, "amin")
        spread = spread[spread]
        if torch.equal(spread, labels):
            break
        labels = spread
    return labels


def build_tracks(
    positions: Tensor,
    table: Correspondences,
    inliers: Tensor,
    per_frame: int = PER_FRAME,
    in_all: int = IN_ALL,
) -> Tracks:
    """Tracks from the inlier correspondences [P, M] of features at [N, K, 2].

    Drops a frame from a track that would observe it twice, because one of the two must be wrong.
    Keeps the longest tracks of each frame: `per_frame`, or its share of `in_all` if that is more.
    """
    frames, slots = positions.size(0), positions.size(1)
    left = (table.first[:, None] * slots + table.slots1)[inliers]
    right = (table.second[:, None] * slots + table.slots2)[inliers]
    labels = connected_components(frames * slots, left, right)
    used = torch.zeros(frames * slots, dtype=torch.bool, device=positions.device)
    used[left] = True
    used[right] = True
    members = torch.nonzero(used)[:, 0]
    roots, track = torch.unique(labels[members], return_inverse=True)
    place = track * frames + members // slots
    count = torch.bincount(place, minlength=roots.size(0) * frames)
    pixels = torch.zeros(roots.size(0) * frames, 2, dtype=torch.float64, device=positions.device)
    pixels[place] = positions.reshape(-1, 2)[members].to(torch.float64)
    observed = (count == 1).reshape(-1, frames)
    pixels = pixels.reshape(-1, frames, 2) * observed[..., None]
    length = observed.sum(1)
    order = torch.argsort(length, descending=True, stable=True)
    order = order[length[order] >= 2]
    pixels, observed = pixels[order], observed[order]
    quota = max(per_frame, in_all // frames)
    kept = (observed & (observed.cumsum(0) <= quota)).any(dim=1)
    return Tracks(pixels=pixels[kept], observed=observed[kept])
