"""What it costs that servers share their sessions: `make bench ARGS="gateways"`.

The same requests go in turn to a server that keeps its sessions to itself, to one that shares them
with another one, and to that one through the other. Prints the times until images are acknowledged
and until a point cloud is there, and the bytes that go through NATS. All of it runs on this
machine: a network between machines adds its own time to the bytes.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import numpy as np

from integration.nats import Nats

from .photos import photos_of
from .remote import cpu_seconds
from .service import ROOT, Measurement, Server


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="gateways ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--frames", type=int, default=12, help="images of a request")
    parser.add_argument("--process-res", type=int, default=504)
    parser.add_argument("--runs", type=int, default=5, help="requests of each; medians are shown")
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument("--blobs", default="nats", help="where files are")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pointstream")
    return parser.parse_args(arguments)


def median(seconds: list[float]) -> float:
    """In milliseconds."""
    return 1000 * float(np.median(seconds))


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(arguments)
    photos = photos_of(options.frames, 378, 504)[0]
    parameters = {"process_res": options.process_res}
    nats = Nats()
    model = ["--model", options.model, "--device", "cpu"]
    shared = [*model, "--nats", nats.url, "--gateway-url", "http://127.0.0.1:0"]
    shared += ["--blobs", options.blobs]
    found: dict[str, list[Measurement]] = {"alone": [], "shared": [], "passed on": []}
    traffic: list[tuple[int, int]] = []
    busy: dict[str, list[float]] = {"alone": [], "shared": []}
    try:
        with (
            Server(model, options.binary) as alone,
            Server(shared, options.binary) as one,
            Server(shared, options.binary) as other,
        ):
            ways = {"alone": (alone, None), "shared": (one, None), "passed on": (one, other)}
            # The first run compiles the model's code.
            for run in range(options.runs + 1):
                for name, (server, through) in ways.items():
                    before, idle = nats.bytes(), cpu_seconds(server.process)
                    measured = asyncio.run(server.measure(photos, parameters, through))
                    after, worked = nats.bytes(), cpu_seconds(server.process)
                    if run > 0:
                        found[name].append(measured)
                        if name in busy:
                            busy[name].append(worked - idle)
                        if name == "shared":
                            traffic.append((after[0] - before[0], after[1] - before[1]))
    finally:
        nats.close()
    print(
        f"{len(photos)} images at {options.process_res}, {options.model}, files in"
        f" {options.blobs}, medians of {options.runs}:"
    )
    base = found["alone"]
    for name, measurements in found.items():
        acknowledged = median([time for one in measurements for time in one.upload])
        request = median([one.request for one in measurements])
        before = median([time for one in base for time in one.upload])
        whole = median([one.request for one in base])
        print(
            f"  {name:9}  image acknowledged after {acknowledged:.1f} ms"
            f" ({acknowledged - before:+.1f}), point cloud {request:.0f} ms"
            f" ({request / whole:.3f} times)"
        )
    into, out = (np.median([pair[i] for pair in traffic]) / len(photos) / 1e6 for i in (0, 1))
    print(f"bytes for each image: {into:.2f} MB into NATS, {out:.2f} MB out of it")
    added = (np.median(busy["shared"]) - np.median(busy["alone"])) / len(photos)
    print(f"CPU time of the server that sharing adds for each image: {1000 * added:.0f} ms")
