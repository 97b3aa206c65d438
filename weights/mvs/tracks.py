"""Tracks: features of several frames that show the same point, merged across pairs."""

from typing import NamedTuple

import torch
from torch import Tensor

from weights.mvs.correspondences import Correspondences


class Tracks(NamedTuple):
    """`T` tracks over `N` frames, the longest first."""

    pixels: Tensor
    """float64 [T, N, 2], pixels from the image centre; 0 where not observed."""
    observed: Tensor
    """bool [T, N]."""
    capacity: int
    """Maximum number of tracks."""


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
    positions: Tensor, table: Correspondences, inliers: Tensor, capacity: int
) -> Tracks:
    """Tracks from the inlier correspondences [P, M] of features at [N, K, 2].

    Drops a frame from a track that would observe it twice, because one of the two must be wrong.
    Keeps at most `capacity` tracks, those with most observations.
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
    order = order[length[order] >= 2][:capacity]
    return Tracks(pixels=pixels[order], observed=observed[order], capacity=capacity)
