"""Small archives to test the service with: `python -m weights.tests.archives OUTDIR`.

`flat.pt` follows the contract without analysing the photos, `posed.pt` also accepts known cameras,
`hinted.pt` hints too, `aligned.pt` derives its unit of length from the depth of all frames,
`distorted.pt` has lenses with radial distortion, `reporting.pt` leaves out blue frames and reports
on all of them, `stuck.pt` returns one depth for dark frames, and the metadata of `hungry.pt` state
a need of 1 GB per pair of frames. `extending.pt` places new frames among placed ones, by their
colours; `slow_extending.pt` takes half a second for each frame. Each of the others violates one
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
SLOW_PRODUCTS = 200
"""512 x 512 matrix products per frame: 54 GFLOP, about half a second on one or two cores."""


class FlatModel(nn.Module):
    """A smooth synthetic relief seen by cameras on a line; confidence is highest in image
    centres."""

    def __init__(self, products: int = 0, raise_on_black: bool = False) -> None:
        super().__init__()
        self.products = products
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
        """Return zero after this model's number of matrix products."""
        rotation = torch.eye(512, device=state.device).roll(1, 0)
        product = rotation
        for _ in range(self.products * frames):
            product = product @ rotation
        return product.sum() - 512.0


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
    for name, products in (("extending", 0), ("slow_extending", SLOW_PRODUCTS)):
        model = torch.jit.script(ExtendingModel(products).eval())
        save_archive(model, extending, folder / f"{name}.pt")
    need = MemoryNeed(fixed=0, per_pixel=0, per_call_pixel=0, per_pair=1e9)
    hungry = dataclasses.replace(METADATA, name="hungry", memory=Memory(cpu=need))
    save_archive(flat, hungry, folder / "hungry.pt")
    slow = dataclasses.replace(METADATA, name="slow")
    save_archive(
        torch.jit.script(FlatModel(products=SLOW_PRODUCTS).eval()), slow, folder / "slow.pt"
    )

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
