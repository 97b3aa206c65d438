"""Links: which features of different frames show the same point.

They are all that a later adjustment of many frames needs of a run, whichever frames it had.
"""

import torch
from torch import Tensor

from weights.mvs.tracks import Tracks

LINKS: int = 400
"""Links of a frame."""
EXPLAINED: float = 0.8
"""Share of the correspondences of a pair's own geometry that agree with the poses, if they are
right."""


def no_links(frames: int, device: torch.device, links: int = LINKS) -> Tensor:
    """The links of frames that nothing connects, float32 [N, L, 3]."""
    rows = torch.zeros(frames, links, 3, device=device)
    rows[:, :, 2] = -1.0
    return rows


def pack_links(tracks: Tracks, links: int = LINKS) -> Tensor:
    """float32 [N, L, 3]: for each frame its observations (x, y in pixels from the image centre,
    number of the track; -1 for none), those of the longest tracks."""
    frames = tracks.observed.size(1)
    rows = no_links(frames, tracks.pixels.device, links)
    for i in range(frames):
        seen = torch.nonzero(tracks.observed[:, i])[:links, 0]
        rows[i, : seen.size(0), :2] = tracks.pixels[seen, i].to(torch.float32)
        rows[i, : seen.size(0), 2] = seen.to(torch.float32)
    return rows


def verified(
    inliers: Tensor, agreeing: Tensor, both: Tensor, explained: float = EXPLAINED
) -> Tensor:
    """bool [P, M], the correspondences that link two frames.

    Those that agree with the poses, `agreeing` [P, M], if both frames of the pair are registered
    (`both` [P]). But the poses of frames that were placed long apart may have drifted: if they
    explain less than the pair's own epipolar geometry does, its `inliers` [P, M] count, too.
    """
    alone = inliers.sum(1).to(torch.float64)
    explains = (inliers & agreeing).sum(1) >= explained * alone
    return torch.where((both & explains)[:, None], agreeing, inliers)
