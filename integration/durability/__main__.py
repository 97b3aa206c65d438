"""Command line: `python -m integration.durability --model ARCHIVE`.

Several clients upload photos at the same time, to servers with `--durability sync` and `none` in
turns. Prints images a second and the latency of `ack`, and the ratios. The model should be quick,
since frames are encoded meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import connect

from integration.bench.service import CLIENT_OPTIONS, ROOT, Photo, Server, receive, upload_one

PHOTOS = ROOT / "examples/sample_scene"
MODES = ("sync", "none")


@dataclass
class Figures:
    """Of one mode: seconds of each `ack`, and images a second of each round."""

    acks: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def row(self, mode: str) -> str:
        """A row of the table."""
        cuts = statistics.quantiles(self.acks, n=100)
        rate = statistics.median(self.rates)
        median, last = (f"{1000 * cut:.1f}" for cut in (cuts[49], cuts[98]))
        return f"| {mode} | {rate:.1f} | {median} | {last} |"


async def upload(server: Server, photos: list[Photo], images: int) -> list[float]:
    """Upload so many images on one socket; return the seconds of each `ack`."""
    query = urllib.parse.urlencode({"max_images": images, "process_res": 224})
    session = server.rest("POST", f"/ws/session/create?{query}")["session_id"]
    address = f"{server.base.replace('http', 'ws', 1)}/ws/reconstruct/{session}"
    async with connect(address, **CLIENT_OPTIONS) as socket:
        await receive(socket, "connected")
        seconds = [await upload_one(socket, photos[i % len(photos)]) for i in range(images)]
    server.rest("DELETE", f"/ws/session/{session}")
    return seconds


async def measure(server: Server, photos: list[Photo], clients: int, images: int) -> Figures:
    """Measure one round."""
    begin = time.perf_counter()
    acks = await asyncio.gather(*[upload(server, photos, images) for _ in range(clients)])
    rate = clients * images / (time.perf_counter() - begin)
    return Figures([ack for client in acks for ack in client], [rate])


def main() -> None:
    """Parse the options, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m integration.durability", description=__doc__)
    parser.add_argument("--server", type=Path, default=ROOT / "target/release/pointstream")
    parser.add_argument("--model", type=Path, required=True, help="archive of a quick model")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--images", type=int, default=50, help="of each client")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    photos = [Photo(path.name, path.read_bytes()) for path in sorted(PHOTOS.glob("*.jpg"))]
    figures = {mode: Figures() for mode in MODES}
    for _ in range(options.rounds):
        for mode in MODES:
            settings = ["--model", str(options.model), "--durability", mode]
            with Server(settings, options.server) as server:
                work = measure(server, photos, options.clients, options.images)
                found = asyncio.run(work)
            figures[mode].acks += found.acks
            figures[mode].rates += found.rates
    print("| durability | images a second | `ack` median, ms | `ack` p99, ms |")
    print("| --- | ---: | ---: | ---: |")
    for mode in MODES:
        print(figures[mode].row(mode))
    rates = [statistics.median(figures[mode].rates) for mode in MODES]
    print(f"images a second, sync / none: {rates[0] / rates[1]:.2f}")


if __name__ == "__main__":
    main()
