"""Work for a model that needs much memory: frames that all show the same points, and maps whose
frames share many.

The memory of a model may depend on what frames show: what few frames share needs little.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from weights.contract.metadata import Metadata

SIZE = (378, 504)
"""Height and width of the frames of a map."""
FOCAL = 500.0
OVERLAP = 4
"""Frames that two runs of a map have in common, and new ones of a run."""


def layered_frames(frames: int, height: int, width: int, step: int = 2) -> Tensor:
    """Uint8 views `[N, 3, H, W]` of textured boxes at three depths; the camera moves to the
    right."""
    wide = width + 3 * step * frames
    rows, columns = torch.arange(height)[:, None], torch.arange(wide)[None]
    side = max(min(height, width) // 5, 4)
    even = (rows // side) % 2 == 0
    boxes = [even & ((columns // side) % 2 == 0), ~even & ((columns // side) % 3 == 1)]
    layers = [_texture(height, wide, seed) for seed in range(3)]
    result = torch.empty(frames, 3, height, width, dtype=torch.uint8)
    for frame in range(frames):
        view = [layer[:, :, frame * step * (1 + depth) :] for depth, layer in enumerate(layers)]
        result[frame] = view[0][:, :, :width]
        for depth, box in enumerate(boxes, start=1):
            shown = box[:, frame * step * (1 + depth) :][:, :width]
            result[frame][:, shown] = view[depth][:, :, :width][:, shown]
    return result


def _texture(height: int, width: int, seed: int) -> Tensor:
    """Uint8 `[3, H, W]` with structure of several sizes."""
    random = torch.Generator().manual_seed(seed)
    texture = torch.zeros(1, 3, height, width)
    for cell in (48, 16, 6, 3):
        coarse = torch.rand(1, 3, height // cell + 2, width // cell + 2, generator=random)
        texture += F.interpolate(coarse, (height, width), mode="bilinear") / 4
    return (texture[0] * 400 - 75).clamp(0, 255).to(torch.uint8)


def predict(module: Any, metadata: Metadata, pixels: Tensor, placed: Tensor | None = None) -> None:
    """Make the service's calls in its order, and keep the same tensors alive; one frame a call.

    With rows `placed` of some frames' cameras, place the others among them. Otherwise each frame
    has a lens of its own, as far as its hint says.
    """
    frames, _, height, width = pixels.shape
    size = torch.tensor([height, width])
    ranges = [torch.tensor([frame, frame + 1]) for frame in range(frames)]
    with torch.no_grad(), torch.jit.optimized_execution(False):
        features = [module.encode(pixels[begin:end]) for begin, end in ranges]
        rows = torch.cat(features)
        hints = _hints(frames, max(height, width)).to(pixels.device)
        if placed is not None:
            state = module.relate_extended(rows, placed, hints, size)
        elif metadata.hints:
            state = module.relate_hinted(rows, hints, size)
        else:
            state = module.relate(rows, size)
        del rows
        cameras = module.cameras(state, size)
        parts = [module.dense(state, size, part) for part in ranges]
        if metadata.fuse:
            dense = torch.cat(parts)
            del parts
            if metadata.align:
                module.align(cameras, dense, size)
            parts = [module.fuse(state, dense, size, part) for part in ranges]
        if metadata.adjust:
            module.links(state, size)
        del parts, features


def extend(module: Any, metadata: Metadata, pixels: Tensor) -> None:
    """Place the second half of the frames among the first half."""
    frames, _, height, width = pixels.shape
    size = torch.tensor([height, width])
    with torch.no_grad(), torch.jit.optimized_execution(False):
        first = torch.cat([module.encode(pixels[i : i + 1]) for i in range(frames // 2)])
        found = module.cameras(module.relate(first, size), size)
        placed = torch.zeros(frames, found.size(1), device=pixels.device)
        placed[: found.size(0)] = found
        # What the others have means nothing.
        placed[found.size(0) :, :12:5] = 1.0
        placed[found.size(0) :, 12:21:4] = 1.0
    del first
    predict(module, metadata, pixels, placed)


def _hints(frames: int, focal: float) -> Tensor:
    """Hints `[N, 3]`: a lens for each frame, about as long as all others."""
    groups = torch.arange(frames, dtype=torch.float32)
    return torch.stack(
        [groups, torch.full([frames], float(focal)), torch.full([frames], 0.1)], dim=1
    )


class Map(NamedTuple):
    """What `adjust` gets, and how much of it."""

    links: Tensor
    """float32 [O, 4]."""
    cameras: Tensor
    """float32 [N, 24]."""
    hints: Tensor
    """float32 [N, 3]."""
    shared: int
    """How often two frames see the same point."""
    lenses: int


def walk(frames: int, features: int, reach: int) -> Map:
    """Frames of a camera that moves along a wall: each sees about so many points, and each point is
    seen by up to `reach` frames. They are placed a bit wrong, and each has a lens of its own."""
    random = torch.Generator().manual_seed(0)
    height, width = SIZE
    visible = 5.0 * width / FOCAL
    step = visible / reach
    length = step * frames + visible
    count = int(features * length / visible)
    points = torch.rand(count, 3, generator=random, dtype=torch.float64)
    points = points * torch.tensor([length, 3.0, 1.0]) + torch.tensor([-0.5 * visible, -1.5, 4.5])
    centres = torch.zeros(frames, 3, dtype=torch.float64)
    centres[:, 0] = step * torch.arange(frames)
    placed = points[None] - centres[:, None]
    pixels = FOCAL * placed[..., :2] / placed[..., 2:]
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    seen = (pixels.abs() < middle).all(dim=2)
    rows: list[Tensor] = []
    base = 0
    for begin in range(0, max(frames - OVERLAP, 1), OVERLAP):
        run = range(begin, min(begin + 2 * OVERLAP, frames))
        common = seen[run.start : run.stop].sum(0) >= 2
        for frame in run:
            index = torch.nonzero(seen[frame] & common)[:, 0]
            number = torch.full([index.size(0), 1], float(frame), dtype=torch.float64)
            track = (index + base)[:, None].to(torch.float64)
            rows.append(torch.cat([number, pixels[frame, index] + middle, track], 1))
        base += count
    wrong = centres + 0.02 * torch.randn(frames, 3, generator=random, dtype=torch.float64)
    cameras = torch.zeros(frames, 24, dtype=torch.float64)
    cameras[:, 0:12:5] = 1.0
    cameras[:, 3:12:4] = -wrong
    cameras[:, 12] = cameras[:, 16] = FOCAL
    cameras[:, 14], cameras[:, 17] = middle[0], middle[1]
    cameras[:, 20] = cameras[:, 21] = 1.0
    times = seen.sum(0)
    return Map(
        links=torch.cat(rows).to(torch.float32),
        cameras=cameras.to(torch.float32),
        hints=_hints(frames, FOCAL),
        shared=int((times * (times - 1) // 2).sum()),
        lenses=frames,
    )


def adjust(module: Any, work: Map) -> None:
    """Adjust the frames of a map."""
    with torch.no_grad(), torch.jit.optimized_execution(False):
        module.adjust(work.links, work.cameras, work.hints, torch.tensor(SIZE))
