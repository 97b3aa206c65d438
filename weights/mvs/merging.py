"""Links of many runs merged into points that many frames see."""

import torch
from torch import Tensor

from weights.mvs.bundle import Observations
from weights.mvs.tracks import connected_components

STEPS: float = 8.0
"""Features of a frame are the same if they are as close as an inverse of this, in pixels."""


def merge_links(links: Tensor, frames: int, steps: float = STEPS) -> Observations:
    """The observations of all points that at least two of `frames` see, for rows [O, 4] of links:
    frame, x, y from the image centre, number of the track.

    Runs that have a frame see the same features of it, so tracks of different runs that have a
    feature in common show the same point. Drops a frame from a point that it would see twice.
    """
    device = links.device
    frame = links[:, 0].to(torch.int64)
    place = (links[:, 1:3].to(torch.float64) * steps).round().to(torch.int64)
    # One number for each feature; images are far smaller than 2^20 steps.
    half = 1 << 20
    number = ((frame * (2 * half)) + place[:, 0] + half) * (2 * half) + place[:, 1] + half
    _, feature = torch.unique(number, return_inverse=True)
    _, track = torch.unique(links[:, 3], return_inverse=True)
    features, tracks = 0, 0
    if links.size(0) > 0:
        features, tracks = int(feature.max()) + 1, int(track.max()) + 1
    labels = connected_components(features + tracks, feature, features + track)
    of_feature = torch.zeros(features, dtype=torch.int64, device=device)
    pixels = torch.zeros(features, 2, dtype=torch.float64, device=device)
    of_feature[feature] = frame
    pixels[feature] = links[:, 1:3].to(torch.float64)
    _, point = torch.unique(labels[:features], return_inverse=True)
    _, twice, times = torch.unique(
        point * frames + of_feature, return_inverse=True, return_counts=True
    )
    once = times[twice] == 1
    return numbered(of_feature[once], point[once], pixels[once])


def numbered(camera: Tensor, point: Tensor, pixels: Tensor) -> Observations:
    """Observations in the order of their points, which are numbered anew; without those of points
    that only one camera sees."""
    _, index, times = torch.unique(point, return_inverse=True, return_counts=True)
    seen = times[index] >= 2
    _, index = torch.unique(point[seen], return_inverse=True)
    order = torch.argsort(index, stable=True)
    return Observations(camera[seen][order], index[order], pixels[seen][order])


def selected(observations: Observations, kept: Tensor) -> Observations:
    """Those observations of points that at least two of them show; `kept` is bool [O]."""
    return numbered(observations.camera[kept], observations.point[kept], observations.pixels[kept])


def longest(observations: Observations, per_frame: int) -> Observations:
    """All observations of the points that are among the `per_frame` of a frame that most other
    frames see."""
    if observations.point.size(0) == 0:
        return observations
    length = torch.bincount(observations.point)
    order = torch.argsort(length[observations.point], descending=True, stable=True)
    order = order[torch.argsort(observations.camera[order], stable=True)]
    camera = observations.camera[order]
    counts = torch.bincount(camera)
    begin = counts.cumsum(0) - counts
    rank = torch.arange(order.size(0), device=order.device) - begin[camera]
    chosen = torch.zeros_like(length)
    chosen[observations.point[order[rank < per_frame]]] = 1
    return selected(observations, chosen[observations.point] > 0)
