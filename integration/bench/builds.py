"""Two builds of the program with the same clients: `make bench ARGS="builds --against PROGRAM"`.

Several clients at once upload photos and ask for a point cloud, first of one program, then of the
other, and so on. Both must use the same libtorch, such as two release builds of this checkout.
Prints the time of all clients, of their acknowledgements and of their requests, and the processor
time of the server, each as a ratio of the first program to the second.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .neighbours import Session
from .service import ROOT, Photo, Server
from .stream.process import usage


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="builds ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", type=Path, required=True, help="the other program")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pointstream")
    parser.add_argument("--photos", type=Path, default=ROOT / "examples/sample_scene")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--uploads", type=int, default=20, help="photos of each client")
    parser.add_argument("--process-res", type=int, default=252)
    parser.add_argument("--rounds", type=int, default=8)
    for program in ("binary", "against"):
        parser.add_argument(
            f"--{program}-options", default="", metavar="OPTIONS", help="that the other has not"
        )
    parser.add_argument("--model", required=True, help="path of an archive that costs little")
    return parser.parse_args(arguments)


@dataclass
class Figures:
    """What was measured of one program; times in seconds."""

    total: list[float] = field(default_factory=list)
    acknowledgements: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def summary(self) -> dict[str, float]:
        """The figures that are compared."""
        return {
            "time of all clients": float(np.median(self.total)),
            "ack, median": float(np.median(self.acknowledgements)),
            "ack, 95 %": float(np.percentile(self.acknowledgements, 95)),
            "request, median": float(np.median(self.requests)),
            "processor time": self.cpu,
        }


async def visit(
    server: Server, photos: list[Photo], options: argparse.Namespace, figures: Figures
) -> None:
    """All clients once."""

    async def one() -> None:
        session = Session(server, {"process_res": options.process_res})
        for photo in photos:
            begin = time.perf_counter()
            await session.upload([photo])
            figures.acknowledgements.append(time.perf_counter() - begin)
        figures.requests.append(await session.ask("generate"))
        await session.close()

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(options.clients)))
    figures.total.append(time.perf_counter() - begin)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(arguments)
    paths = sorted(path for path in options.photos.iterdir() if path.suffix.lower() == ".jpg")
    if not paths:
        sys.exit(f"error: {options.photos} has no JPEG files")
    photos = [
        Photo(f"{index}-{paths[index % len(paths)].name}", paths[index % len(paths)].read_bytes())
        for index in range(options.uploads)
    ]
    server_options = ["--device", "cpu", "--model", options.model]
    figures = [Figures(), Figures()]
    with (
        Server(server_options + options.binary_options.split(), options.binary) as one,
        Server(server_options + options.against_options.split(), options.against) as other,
    ):
        servers = [one, other]
        for number in range(options.rounds + 1):
            # In turn, so that what else the machine does is the same for both.
            for index in [0, 1] if number % 2 else [1, 0]:
                of_round = Figures()
                before = usage(servers[index].process.pid).cpu
                asyncio.run(visit(servers[index], photos, options, of_round))
                of_round.cpu = usage(servers[index].process.pid).cpu - before
                # The first round compiles the model's code.
                if number > 0:
                    figures[index].total += of_round.total
                    figures[index].acknowledgements += of_round.acknowledgements
                    figures[index].requests += of_round.requests
                    figures[index].cpu += of_round.cpu
    this, that = (one.summary() for one in figures)
    for name, value in this.items():
        print(f"{name}: {value / that[name]:.3f} ({value:.4f} s, {that[name]:.4f} s)")


if __name__ == "__main__":
    main()
