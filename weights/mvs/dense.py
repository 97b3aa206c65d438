"""Dense depth and confidence of all frames: the entry points of the dense side."""

import torch
from torch import Tensor

from weights.contract.stopping import check
from weights.mvs.canvas import from_canvas
from weights.mvs.confidence import confidence, evidence
from weights.mvs.consistency import check_frame
from weights.mvs.depth import sweep_frame
from weights.mvs.filling import fill
from weights.mvs.state import unpack_state


def dense_frames(
    state: Tensor, size: Tensor, begin: int, end: int, stop: Tensor | None = None
) -> Tensor:
    """Match frames `begin` to `end` with their neighbours: float32 [end - begin, 2, H, W].

    Channels: inverse depth, correlation 0..1, negated where another depth is nearly as good.
    Without neighbours the inverse depth is constant and the correlation is 0.
    """
    frames = unpack_state(state, size)
    height = int(size[0])
    width = int(size[1])
    result: list[Tensor] = []
    for i in range(begin, end):
        check(stop)
        if frames.registered[i] and len(frames.neighbours[i]) > 0:
            swept = sweep_frame(frames, i)
            sign = torch.where(swept.unique, 1.0, -1.0)
            correlation = swept.correlation.clamp(min=0.0) * sign
            result.append(torch.stack([swept.inverse_depth, correlation]))
        else:
            unknown = torch.zeros([2, height, width], device=state.device)
            unknown[0] = frames.inverse_depths[i][1]
            result.append(unknown)
    if len(result) == 0:
        return torch.zeros([0, 2, height, width], device=state.device)
    return torch.stack(result)


def fuse_frames(
    state: Tensor,
    dense: Tensor,
    size: Tensor,
    begin: int,
    end: int,
    stop: Tensor | None = None,
) -> Tensor:
    """Depth and confidence float32 [end - begin, 2, H, W] after the cross-frame consistency check.

    `dense` [N, 2, H, W] is the result of `dense_frames` for every frame. Averages consistent depths
    and fills holes smoothly.
    """
    frames = unpack_state(state, size)
    height = int(size[0])
    width = int(size[1])
    result = torch.ones([end - begin, 2, height, width], device=state.device)
    for i in range(begin, end):
        check(stop)
        middle = frames.inverse_depths[i][1]
        if not frames.registered[i] or len(frames.neighbours[i]) == 0:
            result[i - begin, 0] = 1.0 / middle
            continue
        agreement = check_frame(frames, dense, i)
        log_odds = evidence(agreement, dense[i, 1], frames.grey[i])
        known = (log_odds > 0.0).to(torch.float32)
        filled = fill(agreement.inverse_depth, known, middle)
        depth = 1.0 / filled.clamp(min=1e-6)
        maps = torch.stack([depth, confidence(log_odds, frames.reliability[i])])
        result[i - begin] = from_canvas(maps, frames.bend[i])
    return result
