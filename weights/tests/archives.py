"""Small archives to test the service with: `python -m weights.tests.archives OUTDIR`.

`flat.pt` follows the contract without analysing the photos, `posed.pt` also accepts known cameras,
`hinted.pt` hints too, `aligned.pt` derives its unit of length from the depth of all frames,
`distorted.pt` has lenses with radial distortion, `reporting.pt` leaves out blue frames and reports
on all of them, a run of `endless.pt` with more than two frames goes on until it is stopped, and
one of `long.pt` with more than 24,
`stuck.pt` returns one depth for dark frames, and the metadata of `hungry.pt` state
a need of 4 GB per pair of frames. `extending.pt` places new frames among placed ones, by their
colours; `slow_extending.pt` takes 0.4 s for each frame; `overlapping.pt` places
only frames that are near placed ones. `windowed.pt` cannot extend: each of its runs has a world of
its own; those of `drifting.pt` bend, too, and `slow_windowed.pt` takes 0.4 s for
each frame. `islands.pt` extends a map like `extending.pt`, but not across a gap. `da3_tiny.pt` is
Depth Anything 3 with random weights. `adjusting.pt` extends and adjusts frames together,
`slow_adjusting.pt` takes 0.4 s for each of them. `passing.pt` extends a map of a
wall, and sees something before it in frames that are rather green. Each of the others violates one
rule.
"""

import argparse
import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from weights.contract import Metadata, save_archive
from weights.contract.archive import read_entries, write_entries
from weights.contract.metadata import METADATA_ENTRY, Memory, MemoryNeed
from weights.contract.stopping import check
from weights.da3.variants import abilities, build_model
from weights.tests.da3_networks import TINY, random_network

METADATA = Metadata(
    name="flat",
    version="1.0.0",
    license="Apache-2.0",
    patch_size=14,
    default_process_res=504,
    max_process_res=1008,
    scale="relative",
    precision="fp32",
    fuse=True,
)
SLOW_STEPS = 8_000_000
"""Steps of arithmetic per frame, one after another: about 0.4 s on any one core. Unlike matrix
products, they take nearly as long on machines with more cores or wider vectors, so that tests find
runs in progress there, too."""


class FlatModel(nn.Module):
    """A smooth synthetic relief seen by cameras on a line; confidence is highest in image
    centres."""

    def __init__(self, steps: int = 0, raise_on_black: bool = False) -> None:
        super().__init__()
        self.steps = steps
        self.raise_on_black = raise_on_black

    @torch.jit.export
    def encode(self, pixels: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> float32 [n, 3, H, W]."""
        return pixels.to(torch.float32) / 255.0

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """The state of a frame is its image."""
        return features

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]."""
        return self.line(state, size)

    def line(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]: frame i is 0.1 i to the right of the first one."""
        height, width = int(size[0]), int(size[1])
        rows = torch.zeros([state.shape[0], 22], device=state.device)
        rows[:, 0] = 1.0
        rows[:, 5] = 1.0
        rows[:, 10] = 1.0
        rows[:, 3] = -0.1 * torch.arange(state.shape[0], device=state.device)
        rows[:, 12] = 0.8 * max(height, width)
        rows[:, 16] = 0.8 * max(height, width)
        rows[:, 14] = (width - 1) / 2
        rows[:, 17] = (height - 1) / 2
        rows[:, 20] = 1.0
        rows[:, 21] = 1.0
        return rows

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: depth 1.5 to 2, confidence 1 to 2."""
        begin, end, height, width = int(frames[0]), int(frames[1]), int(size[0]), int(size[1])
        if self.raise_on_black and float(state[0].max()) == 0.0:
            raise RuntimeError("the first frame is black")
        y = torch.linspace(-1.0, 1.0, height, device=state.device)[:, None]
        x = torch.linspace(-1.0, 1.0, width, device=state.device)[None, :]
        depth = 2.0 - 0.5 * torch.exp(-2.0 * (x * x + y * y)) + self.work(state, end - begin)
        confidence = 1.0 + ((x.abs() < 0.7) & (y.abs() < 0.7)).to(torch.float32)
        return torch.stack([depth, confidence])[None].repeat(end - begin, 1, 1, 1)

    @torch.jit.export
    def fuse(self, state: Tensor, dense: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """Nothing to fuse."""
        return dense[int(frames[0]) : int(frames[1])]

    def work(self, state: Tensor, frames: int) -> Tensor:
        """Return zero after this model's number of steps."""
        number = 1
        for _ in range(self.steps * frames):
            number = number * 1103515245 % 2147483647
        return torch.full([], float(number < 0), device=state.device)


class PosedModel(FlatModel):
    """Accepts known cameras and returns them with lengths in half their unit."""

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """The state of a frame is its image and a channel with its camera, if known."""
        return torch.nn.functional.pad(features, [0, 0, 0, 0, 0, 1])

    @torch.jit.export
    def relate_posed(self, features: Tensor, cameras: Tensor, size: Tensor) -> Tensor:
        """The same with the camera's 21 numbers in the last channel."""
        state = self.relate(features, size)
        state[:, -1].flatten(1)[:, :21] = cameras
        state[:, -1].flatten(1)[:, 3:12:4] *= 0.5
        return state

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]: the known cameras, else those of the flat model."""
        known = state[:, -1].flatten(1)[:, :21]
        if float(known.abs().max()) == 0.0:
            return self.line(state, size)
        return torch.cat([known, torch.ones_like(known[:, :1])], 1)


class HintedModel(PosedModel):
    """Shows its hints in its cameras: the focal length, a tenth of the group as y of the
    translation, and a tenth of the standard deviation as its z."""

    @torch.jit.export
    def relate_hinted(self, features: Tensor, hints: Tensor, size: Tensor) -> Tensor:
        """The state with cameras on a line in the last channel."""
        cameras = self.line(features, size)[:, :21]
        focal = hints[:, 1:2]
        cameras[:, 12:17:4] = torch.where(focal > 0, focal, cameras[:, 12:17:4])
        cameras[:, 7] = 0.1 * hints[:, 0]
        cameras[:, 11] = 0.1 * hints[:, 2]
        state = self.relate(features, size)
        state[:, -1].flatten(1)[:, :21] = cameras
        return state


class AlignedModel(FlatModel):
    """Scales the mean depth of all frames to 10, and the cameras with it."""

    def unit(self, dense: Tensor) -> Tensor:
        """float32 []: the scale factor of lengths."""
        return 10.0 / dense[:, 0].mean()

    @torch.jit.export
    def align(self, cameras: Tensor, dense: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]."""
        aligned = cameras.clone()
        aligned[:, 3:12:4] *= self.unit(dense)
        return aligned

    @torch.jit.export
    def fuse(self, state: Tensor, dense: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]."""
        fused = dense[int(frames[0]) : int(frames[1])].clone()
        fused[:, 0] *= self.unit(dense)
        return fused


class ReportingModel(FlatModel):
    """Leaves out frames with more blue than red and green, and says so."""

    def is_lost(self, state: Tensor) -> Tensor:
        """bool [N]."""
        channels = state.flatten(2).mean(2)
        return channels[:, 2] > channels[:, 0] + channels[:, 1]

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]."""
        rows = self.line(state, size)
        rows[:, 21] = (~self.is_lost(state)).to(torch.float32)
        return rows

    @torch.jit.export
    def report(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 8]: rotation only for frames that are left out."""
        lost = self.is_lost(state)
        known = torch.tensor([0.0, 0.0, 120.0, 0.5, 4.0, 0.01, -1.0, 0.9], device=state.device)
        left_out = torch.tensor([4.0, 1.0, 0.0, -1.0, -1.0, -1.0, -1.0, 0.1], device=state.device)
        return torch.where(lost[:, None], left_out, known)

    @torch.jit.export
    def fuse(self, state: Tensor, dense: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: nothing is known of frames that are left out."""
        begin, end = int(frames[0]), int(frames[1])
        fused = dense[begin:end].clone()
        lost = self.is_lost(state)[begin:end, None, None]
        fused[:, 1] = torch.where(lost, 1.0, fused[:, 1])
        return fused


class MisreportingModel(ReportingModel):
    """Reports a reason that the contract does not know."""

    @torch.jit.export
    def report(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 8]."""
        return torch.full([state.shape[0], 8], 9.0, device=state.device)


class StuckModel(FlatModel):
    """The depth of dark frames is at a limit."""

    @torch.jit.export
    def fuse(self, state: Tensor, dense: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]."""
        begin, end = int(frames[0]), int(frames[1])
        fused = dense[begin:end].clone()
        dark = state[begin:end].flatten(1).mean(1) < 0.25
        fused[:, 0] = torch.where(dark[:, None, None], 1e6, fused[:, 0])
        return fused


class ExtendingModel(FlatModel):
    """Places new frames among placed ones. The content of a frame decides where it is.

    A level of the mean red is 0.1 to the right. A blue frame belongs nowhere. A green one is found
    only from a frame further to the right. A black one raises. The report shows the run of the
    model: `observations` are the frames of the run, `reprojection_error` those that were given
    as placed.
    """

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """The state of a frame is its image and a channel for its given camera."""
        return torch.nn.functional.pad(features, [0, 0, 0, 0, 0, 1])

    @torch.jit.export
    def relate_extended(
        self, features: Tensor, cameras: Tensor, hints: Tensor, size: Tensor
    ) -> Tensor:
        """The same with the row of `cameras` in the last channel, and a mark after it."""
        state = self.relate(features, size)
        state[:, -1].flatten(1)[:, :22] = cameras
        state[:, -1].flatten(1)[:, 22] = 1.0
        return state

    def given(self, state: Tensor) -> Tensor:
        """float32 [N, 23]: the rows of the placed frames, of zeros for the others, and the mark."""
        return state[:, -1].flatten(1)[:, :23]

    def place(self, state: Tensor) -> Tensor:
        """float32 [N]: on the line."""
        return (255.0 * state[:, 0].flatten(1).mean(1)).round() / 10.0

    def is_registered(self, state: Tensor) -> Tensor:
        """bool [N]."""
        given = self.given(state)
        placed = given[:, 21] > 0.5
        if float(given[0, 22]) > 0.0 and int(placed.sum()) < 2:
            return placed
        colours = state[:, :3].flatten(2).mean(2)
        if float(torch.where(placed, 1.0, state[:, :3].flatten(1).amax(1)).min()) == 0.0:
            raise RuntimeError("a frame is black")
        is_green, is_blue = colours[:, 1] > 0.75, colours[:, 2] > 0.75
        place = self.place(state)
        seen = placed | ~(is_green | is_blue)
        farthest = torch.where(seen, place, -1.0).max()
        return seen | (is_green & ~is_blue & (place < farthest))

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22], in the coordinates of the first placed frame or of the first one."""
        given, place = self.given(state), self.place(state)
        placed = given[:, 21] > 0.5
        rows = self.line(state, size)
        origin = int(placed.to(torch.int64).argmax())
        if bool(placed[origin]):
            rows[:, :12] = given[origin, :12]
        else:
            rows[:, 3] = 0.0
        rows[:, 3] += place[origin] - place
        rows[:, 21] = self.is_registered(state).to(torch.float32)
        return torch.where(placed[:, None], given[:, :22], rows)

    @torch.jit.export
    def report(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 8]: too few matches for frames that are not placed."""
        seen = self.is_registered(state)
        run, placed = float(state.shape[0]), float((self.given(state)[:, 21] > 0.5).sum())
        known = torch.tensor([0.0, 0.0, run, placed, 4.0, 0.01, -1.0, 0.9], device=state.device)
        lost = torch.tensor([1.0, -1.0, run, placed, -1.0, -1.0, -1.0, 0.0], device=state.device)
        return torch.where(seen[:, None], known, lost)

    @torch.jit.export
    def fuse(self, state: Tensor, dense: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: nothing is known of frames that are not placed."""
        begin, end = int(frames[0]), int(frames[1])
        fused = dense[begin:end].clone()
        seen = self.is_registered(state)[begin:end, None, None]
        fused[:, 1] = torch.where(seen, fused[:, 1], 1.0)
        return fused


class PassingModel(ExtendingModel):
    """A wall 2 away, which slopes away to the right by 1 in 50.

    A rather green frame sees something in its middle, at three quarters of the depth."""

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: confidence is 2 but for the borders of the image."""
        begin, end, height, width = int(frames[0]), int(frames[1]), int(size[0]), int(size[1])
        y = torch.linspace(-1.0, 1.0, height, device=state.device)[:, None]
        x = torch.linspace(-1.0, 1.0, width, device=state.device)[None, :]
        green = state[begin:end, 1].flatten(1).mean(1)[:, None, None] > 0.4
        middle = (x.abs() < 0.4) & (y.abs() < 0.4)
        ray = (width - 1) / 2 / (0.8 * max(height, width)) * x + 0.0 * y
        place = self.place(state)[begin:end, None, None]
        depth = (2.0 + 0.02 * place) / (1.0 - 0.02 * ray)
        depth = torch.where(green & middle[None], 0.75 * depth, depth)
        confidence = 1.0 + ((x.abs() < 0.9) & (y.abs() < 0.9)).to(torch.float32)
        return torch.stack([depth, confidence[None].expand(end - begin, -1, -1)], 1)


class LongModel(ExtendingModel):
    """A run of more frames than `most` goes on until it is stopped."""

    stop: Tensor | None

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.stop = None

    @torch.jit.export
    def watch(self, flag: Tensor) -> Tensor:
        """Keep the flag."""
        self.stop = flag
        return flag

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        """The state of a frame is its image and a channel for its given camera."""
        while features.size(0) > self.most:
            check(self.stop)
        return torch.nn.functional.pad(features, [0, 0, 0, 0, 0, 1])


class AdjustingModel(ExtendingModel):
    """Adjusts frames by a known similarity: seen from the first one, all is twice as far away, and
    focal lengths grow by a quarter. Every third frame is not adjusted, nor is one without links or
    with those of another frame."""

    def __init__(self, steps: int = 0) -> None:
        super().__init__()
        self.steps_of_adjust = steps

    @torch.jit.export
    def links(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 2, 3]: one of the frame's place, one unused."""
        rows = torch.zeros(state.shape[0], 2, 3, device=state.device)
        rows[:, 0, 0] = self.place(state)
        rows[:, 1, 2] = -1.0
        return rows

    @torch.jit.export
    def adjust(self, links: Tensor, cameras: Tensor, hints: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 23]."""
        self.steps = self.steps_of_adjust
        zero = self.work(cameras, cameras.shape[0])
        self.steps = 0
        rows = cameras.clone()
        for i in range(rows.shape[0]):
            places = links[links[:, 0] == float(i), 1]
            known = places.shape[0] > 0 and bool((places == places[0]).all())
            rows[i, 21] = float(known and i % 3 != 2)
        # The first camera has the identity: centres are relative to it.
        rows[:, 3:12:4] *= 2.0
        rows[:, 12:17:4] *= 1.25
        factor = torch.full_like(rows[:, :1], 2.0) + zero
        return torch.cat([rows, factor], 1)


class OverlappingModel(ExtendingModel):
    """Places a new frame only beside a placed one that is at most 1 away, and gives it a vector.

    The vectors of frames 10 apart are the same: places look alike there.
    """

    @torch.jit.export
    def describe(self, features: Tensor, size: Tensor) -> Tensor:
        """float32 [n, 64]: a bump on a circle."""
        place = (255.0 * features[:, 0].flatten(1).mean(1)).round() / 10.0
        around = torch.arange(64, device=features.device) / 6.4
        away = (place[:, None] - around[None]).remainder(10.0)
        away = torch.minimum(away, 10.0 - away)
        return torch.nn.functional.normalize(torch.exp(-(away**2)), dim=1)

    def is_registered(self, state: Tensor) -> Tensor:
        """bool [N]."""
        given, place = self.given(state), self.place(state)
        placed = given[:, 21] > 0.5
        is_blue = state[:, 2].flatten(1).mean(1) > 0.75
        if float(given[0, 22]) == 0.0:
            return ~is_blue
        away = torch.where(placed[None], (place[:, None] - place[None]).abs(), 1e9).amin(1)
        return placed | (~is_blue & (away < 1.05))


class DistortedModel(AlignedModel):
    """Frame i is seen through a lens with k1 = -0.1 i and k2 = 0.01 i; `align` doubles k2."""

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 24]."""
        frame = torch.arange(state.shape[0], device=state.device, dtype=torch.float32)[:, None]
        return torch.cat([self.line(state, size), -0.1 * frame, 0.01 * frame], 1)

    @torch.jit.export
    def align(self, cameras: Tensor, dense: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 24]."""
        aligned = cameras.clone()
        aligned[:, 3:12:4] *= self.unit(dense)
        aligned[:, 23] *= 2
        return aligned


class WindowedModel(FlatModel):
    """Frames along a wall, each run in a world of its own with its own unit. The content of a frame
    decides where it is.

    A level of the mean red is 0.1 to the right; the wall is 2 away, and slopes away to the right by
    1 in 50. Frames more than 12 levels from all others of a run have nothing in common with them:
    of such groups all but the largest are turned round, which is wrong. Each frame of a run is
    turned by `bend` to the right of the one before, which is wrong, too. A vector describes the
    place; that of a blue frame is the one of the place 100 levels to the left, which looks alike.
    """

    def __init__(self, steps: int = 0, bend: float = 0.0) -> None:
        super().__init__(steps)
        self.bend = bend

    @torch.jit.export
    def describe(self, features: Tensor, size: Tensor) -> Tensor:
        """float32 [n, 256]: similar for frames that are a few levels apart."""
        is_blue = features[:, 2].flatten(1).mean(1) > 0.75
        level = self.level(features) - 100.0 * is_blue.to(torch.float32)
        places = torch.arange(256, device=features.device)
        vectors = torch.exp(-(((level[:, None] - places) / 3.0) ** 2))
        return torch.nn.functional.normalize(vectors, dim=1)

    def level(self, state: Tensor) -> Tensor:
        """float32 [N]."""
        return (255.0 * state[:, 0].flatten(1).mean(1)).round()

    def unit(self, state: Tensor) -> float:
        """The length of 1 in this run: 0.5 to 2, different for other frames."""
        level = self.level(state)
        weights = 1.0 + torch.arange(level.shape[0], device=level.device)
        return 0.5 + 1.5 * float((level * weights).sum() * 0.618034 % 1.0)

    def is_turned(self, state: Tensor) -> Tensor:
        """bool [N]: frames of all groups but the largest."""
        level = self.level(state)
        near = ((level[:, None] - level).abs() <= 12.0).to(torch.float32)
        for _ in range(10):
            near = (near @ near > 0.0).to(torch.float32)
        sizes = near.sum(1)
        return near[int(sizes.argmax())] == 0.0

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        """float32 [N, 22]."""
        rows = self.line(state, size)
        unit = self.unit(state)
        index = torch.arange(state.shape[0], device=state.device)
        angle = 4.0 * unit + self.bend * index + 3.14159265 * self.is_turned(state)
        cos, sin = torch.cos(angle), torch.sin(angle)
        # The world turned by -angle about the vertical, then moved.
        rows[:, 0], rows[:, 2] = cos, -sin
        rows[:, 8], rows[:, 10] = sin, cos
        place = unit * (self.level(state) - self.level(state)[0]) / 10.0
        first = 4.0 * unit
        x = place * float(torch.cos(torch.tensor(first)))
        z = -place * float(torch.sin(torch.tensor(first)))
        rows[:, 3] = -(rows[:, 0] * x + rows[:, 2] * z)
        rows[:, 11] = -(rows[:, 8] * x + rows[:, 10] * z)
        return rows

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        """float32 [n, 2, H, W]: the wall; confidence is 2 in the middle, else 1."""
        begin, end, height, width = int(frames[0]), int(frames[1]), int(size[0]), int(size[1])
        y = torch.linspace(-1.0, 1.0, height, device=state.device)[:, None]
        x = torch.linspace(-1.0, 1.0, width, device=state.device)[None, :]
        ray = (width - 1) / 2 / (0.8 * max(height, width)) * x + 0.0 * y
        place = self.level(state)[begin:end, None, None] / 10.0
        depth = self.unit(state) * (2.0 + 0.02 * place) / (1.0 - 0.02 * ray)
        depth = depth + self.work(state, end - begin)
        confidence = 1.0 + ((x.abs() < 0.7) & (y.abs() < 0.7)).to(torch.float32)
        return torch.stack([depth, confidence[None].expand(end - begin, -1, -1)], 1)


class IslandModel(ExtendingModel):
    """Places frames that are at most 12 levels from a placed one, or from each other if none is
    placed: then the largest group. A vector describes the place."""

    @torch.jit.export
    def describe(self, features: Tensor, size: Tensor) -> Tensor:
        """float32 [n, 256]: similar for frames that are a few levels apart."""
        places = torch.arange(256, device=features.device)
        level = 10.0 * self.place(features)
        vectors = torch.exp(-(((level[:, None] - places) / 3.0) ** 2))
        return torch.nn.functional.normalize(vectors, dim=1)

    def is_registered(self, state: Tensor) -> Tensor:
        """bool [N]."""
        placed = self.given(state)[:, 21] > 0.5
        level = 10.0 * self.place(state)
        near = ((level[:, None] - level).abs() <= 12.5).to(torch.float32)
        for _ in range(10):
            near = (near @ near > 0.0).to(torch.float32)
        if bool(placed.any()):
            return near[placed].sum(0) > 0.0
        return near[int(near.sum(1).argmax())] > 0.0


def write_all(folder: Path) -> None:
    """Write every archive into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = torch.jit.script(FlatModel().eval())
    save_archive(flat, METADATA, folder / "flat.pt")
    black = dataclasses.replace(METADATA, name="raises-on-black")
    save_archive(
        torch.jit.script(FlatModel(raise_on_black=True).eval()),
        black,
        folder / "raises_on_black.pt",
    )
    posed = dataclasses.replace(METADATA, name="posed", poses=True)
    save_archive(torch.jit.script(PosedModel().eval()), posed, folder / "posed.pt")
    hinted = dataclasses.replace(METADATA, name="hinted", poses=True, hints=True)
    save_archive(torch.jit.script(HintedModel().eval()), hinted, folder / "hinted.pt")
    aligned = dataclasses.replace(METADATA, name="aligned", align=True)
    save_archive(torch.jit.script(AlignedModel().eval()), aligned, folder / "aligned.pt")
    reporting = dataclasses.replace(METADATA, name="reporting", report=True)
    for name, model in (("reporting", ReportingModel()), ("misreporting", MisreportingModel())):
        save_archive(torch.jit.script(model.eval()), reporting, folder / f"{name}.pt")
    stuck = dataclasses.replace(METADATA, name="stuck")
    save_archive(torch.jit.script(StuckModel().eval()), stuck, folder / "stuck.pt")
    distorted = dataclasses.replace(METADATA, name="distorted", align=True, distortion=True)
    save_archive(torch.jit.script(DistortedModel().eval()), distorted, folder / "distorted.pt")
    extending = dataclasses.replace(METADATA, name="extending", report=True, extend=True)
    for name, steps in (("extending", 0), ("slow_extending", SLOW_STEPS)):
        model = torch.jit.script(ExtendingModel(steps).eval())
        save_archive(model, extending, folder / f"{name}.pt")
    passing = dataclasses.replace(extending, name="passing")
    save_archive(torch.jit.script(PassingModel().eval()), passing, folder / "passing.pt")
    for name, most in (("endless", 2), ("long", 24)):
        long = dataclasses.replace(extending, name=name, watch=True)
        save_archive(torch.jit.script(LongModel(most).eval()), long, folder / f"{name}.pt")
    described = dataclasses.replace(extending, name="overlapping", describe=True)
    save_archive(torch.jit.script(OverlappingModel().eval()), described, folder / "overlapping.pt")
    adjusting = dataclasses.replace(extending, name="adjusting", adjust=True)
    for name, steps in (("adjusting", 0), ("slow_adjusting", SLOW_STEPS)):
        model = torch.jit.script(AdjustingModel(steps).eval())
        save_archive(model, adjusting, folder / f"{name}.pt")
    islands = dataclasses.replace(extending, name="islands", describe=True)
    save_archive(torch.jit.script(IslandModel().eval()), islands, folder / "islands.pt")
    windowed = dataclasses.replace(METADATA, name="windowed", describe=True)
    for name, steps, bend in (
        ("windowed", 0, 0.0),
        ("drifting", 0, 0.004),
        ("slow_windowed", SLOW_STEPS, 0.0),
    ):
        model = torch.jit.script(WindowedModel(steps, bend).eval())
        save_archive(model, windowed, folder / f"{name}.pt")
    tiny = random_network(TINY)
    random = dataclasses.replace(METADATA, name="da3-tiny", **abilities(tiny))
    save_archive(torch.jit.script(build_model(tiny)), random, folder / "da3_tiny.pt")
    need = MemoryNeed(fixed=0, per_pixel=0, per_call_pixel=0, per_pair=4e9)
    hungry = dataclasses.replace(METADATA, name="hungry", memory=Memory(cpu=need))
    save_archive(flat, hungry, folder / "hungry.pt")
    slow = dataclasses.replace(METADATA, name="slow")
    save_archive(torch.jit.script(FlatModel(steps=SLOW_STEPS).eval()), slow, folder / "slow.pt")

    # Replaces an export of the official checkpoint.
    small = dataclasses.replace(METADATA, name="da3-small", source_digest=f"sha256:{64 * '0'}")
    save_archive(flat, small, folder / "da3_small.pt")

    entries = read_entries(folder / "flat.pt")
    without = {name: data for name, data in entries.items() if name != METADATA_ENTRY}
    write_entries(folder / "no_metadata.pt", without)
    other = entries[METADATA_ENTRY].replace(b'"contract_version": 1', b'"contract_version": 2')
    write_entries(folder / "other_version.pt", {**entries, METADATA_ENTRY: other})
    code = {name: data for name, data in entries.items() if name.endswith(".py")}
    changed = {name: data + b"# changed\n" for name, data in code.items()}
    write_entries(folder / "tampered.pt", {**entries, **changed})


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.tests.archives", description=__doc__)
    parser.add_argument("folder", type=Path)
    write_all(parser.parse_args().folder)


if __name__ == "__main__":
    main()
