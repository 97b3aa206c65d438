"""Run a model through its entry points as the service does."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from weights.contract.metadata import Metadata


class Reconstruction(NamedTuple):
    """A model's result for `N` frames of `H` x `W` pixels."""

    depth: Tensor
    """float32 [N, H, W], z in the camera frame."""
    confidence: Tensor
    """float32 [N, H, W], at least 1; 1 means "unknown"."""
    extrinsics: Tensor
    """float32 [N, 3, 4], world to camera."""
    intrinsics: Tensor
    """float32 [N, 3, 3]; maps camera coordinates to pixel indices."""
    registered: Tensor
    """bool [N]."""
    distortion: Tensor
    """float32 [N, 2], k1 and k2 of the radial distortion; 0 without distortion."""
    report: Tensor | None = None
    """float32 [N, 8], what the model says about each frame, if it has `report`."""


def run_model(
    module: torch.jit.ScriptModule,
    metadata: Metadata,
    pixels: Tensor,
    chunk: int = 1,
    progress: Callable[[str], None] = lambda stage: None,
    poses: Tensor | None = None,
    hints: Tensor | None = None,
    placed: Tensor | None = None,
) -> Reconstruction:
    """Reconstruct uint8 frames `[N, 3, H, W]`, whose sides are multiples of the patch size.

    Encodes frames and computes depth `chunk` frames at a time. Calls `progress` after each stage
    with the name of its entry point. `poses`, float32 `[N, 21]`, are known cameras; they need the
    entry point `relate_posed`. `placed`, rows of `cameras` of an earlier run for some of the
    frames, go to the entry point `relate_extended`. Without them, `hints`, float32 `[N, 3]`, go to
    the entry point `relate_hinted` if the model has it.

    TorchScript's optimiser is off: it specialises the code for the shapes of the first calls. That
    costs more than it saves, because every scene has other shapes.
    """
    frames, _, height, width = pixels.shape
    ranges = [
        torch.tensor([begin, min(begin + chunk, frames)]) for begin in range(0, frames, chunk)
    ]
    size = torch.tensor([height, width])
    with torch.no_grad(), torch.jit.optimized_execution(False):
        features = torch.cat([module.encode(pixels[begin:end]) for begin, end in ranges])
        progress("encode")
        if poses is not None:
            state = module.relate_posed(features, poses, size)
        elif placed is not None:
            none = torch.zeros(frames, 3, device=pixels.device)
            given = none if hints is None else hints
            state = module.relate_extended(features, placed, given, size)
        elif hints is not None and metadata.hints:
            state = module.relate_hinted(features, hints, size)
        else:
            state = module.relate(features, size)
        progress("relate")
        cameras = module.cameras(state, size)
        progress("cameras")
        report = module.report(state, size) if metadata.report else None
        dense = torch.cat([module.dense(state, size, part) for part in ranges])
        progress("dense")
        if metadata.align:
            cameras = module.align(cameras, dense, size)
            progress("align")
        if metadata.fuse:
            dense = torch.cat([module.fuse(state, dense, size, part) for part in ranges])
            progress("fuse")
    return Reconstruction(
        depth=dense[:, 0],
        confidence=dense[:, 1],
        extrinsics=cameras[:, :12].reshape(-1, 3, 4),
        intrinsics=cameras[:, 12:21].reshape(-1, 3, 3),
        registered=cameras[:, 21] > 0.5,
        report=report,
        distortion=cameras[:, 22:24] if metadata.distortion else torch.zeros_like(cameras[:, :2]),
    )
