"""Command line: `python -m integration.sizing`.

Reconstructs the first photos of a folder at several resolutions, each time with a new server, and
prints the time, the memory and the disk space that it took.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import connect

from integration.bench.service import CLIENT_OPTIONS, ROOT, Photo, Server, generate, upload_one

PHOTOS = ROOT / "target/sizing/walk"
TICKS = os.sysconf("SC_CLK_TCK")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass
class Need:
    """What a server has needed since its start."""

    cpu_seconds: float
    peak_bytes: int
    disk_bytes: int

    @staticmethod
    def of(server: Server) -> Need:
        """Read the figures of a running server."""
        process = Path(f"/proc/{server.process.pid}")
        # Behind the name of the program, which ends with a bracket, come the third field and so on.
        # User and system time are the 14th and 15th.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        status = (process / "status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        with urllib.request.urlopen(f"{server.base}/metrics", timeout=60) as response:
            metrics = response.read().decode()
        disk = next(
            line for line in metrics.splitlines() if line.startswith("pointstream_disk_used_bytes")
        )
        return Need(
            (int(fields[11]) + int(fields[12])) / TICKS,
            1024 * int(peak.split()[1]),
            int(float(disk.split()[-1])),
        )


@dataclass
class Figures:
    """Of one reconstruction. Disk space is without the photos themselves."""

    photos: int
    size: tuple[int, int]
    cpu_seconds: float
    peak_bytes: int
    disk_bytes: int
    points: int

    def row(self) -> str:
        """A row of the table."""
        megapixels = self.photos * self.size[0] * self.size[1] / 1e6
        return (
            f"| {self.photos} at {self.size[0]}x{self.size[1]} | {megapixels:.2f} "
            f"| {self.cpu_seconds:.1f} s | {self.peak_bytes / 1e6:.0f} MB "
            f"| {self.disk_bytes / 1e6:.1f} MB | {self.points} |"
        )


async def reconstruct(server: Server, photos: list[Photo], resolution: int) -> Figures:
    """Upload photos and ask for a cloud of all."""
    before = Need.of(server)
    query = urllib.parse.urlencode({"max_images": len(photos), "process_res": resolution})
    session = server.rest("POST", f"/ws/session/create?{query}")["session_id"]
    address = f"{server.base.replace('http', 'ws', 1)}/ws/reconstruct/{session}"
    async with connect(address, **CLIENT_OPTIONS) as socket:
        await socket.recv()
        for photo in photos:
            await upload_one(socket, photo)
        await generate(socket)
    after = Need.of(server)
    result = server.rest("GET", f"/ws/session/{session}/result?format=json")
    metadata = result["metadata"]
    width, height = metadata["processed_size"]
    originals = sum(len(photo.data) for photo in photos)
    return Figures(
        len(photos),
        (width, height),
        after.cpu_seconds - before.cpu_seconds,
        after.peak_bytes,
        after.disk_bytes - before.disk_bytes - originals,
        metadata["num_points"],
    )


def main() -> None:
    """Parse the options, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m integration.sizing", description=__doc__)
    parser.add_argument("--server", type=Path, default=ROOT / "target/release/pointstream")
    parser.add_argument("--folder", type=Path, default=PHOTOS, help="with photos")
    parser.add_argument("--model", default="mvs")
    parser.add_argument("--photos", type=int, nargs="+", default=[4, 12, 24])
    parser.add_argument("--process-res", type=int, nargs="+", default=[252, 504, 1008])
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(paths) < max(options.photos):
        parser.error(f"{options.folder} has {len(paths)} photos; {max(options.photos)} are needed")
    photos = [Photo(path.name, path.read_bytes()) for path in paths]
    print("| photos | megapixels | CPU time | memory, peak | disk | points |")
    print("| --- | --- | --- | --- | --- | --- |")
    with Server(["--model", options.model], options.server) as server:
        print(f"| none | | | {Need.of(server).peak_bytes / 1e6:.0f} MB | | |", flush=True)
    for count in options.photos:
        for resolution in options.process_res:
            with Server(["--model", options.model], options.server) as server:
                figures = asyncio.run(reconstruct(server, photos[:count], resolution))
            print(figures.row(), flush=True)


if __name__ == "__main__":
    main()
