"""Measure one run by stage: `python -m integration.bench [--json]`; `make bench` builds first.

`make bench ARGS="stream ..."` measures a long stream of images instead, see `stream`, and
`make bench ARGS="neighbours ..."` short requests beside a long one, and
`make bench ARGS="builds ..."` two builds of the program with the same clients, and
`make bench ARGS="cancel ..."` how soon a cancelled request ends, and
`make bench ARGS="remote ..."` what a worker in another process costs, and
`make bench ARGS="gateways ..."` what it costs that servers share their sessions.

All figures come from the same run on the same machine, and the bare model and the service
alternate, so that their ratios are meaningful even on a shared machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from . import compare
from .bare_model import BareModel, embedded
from .builds import main as measure_builds
from .cancel import main as measure_cancel
from .gateways import main as measure_gateways
from .neighbours import main as measure_neighbours
from .remote import main as measure_remote
from .report import Report, summarize
from .service import ROOT, Measurement, Photo, Server
from .stream.__main__ import main as measure_stream
from .wire import WireReport, measure_wire


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--wire", action="store_true", help="only measure the cost of messages")
    parser.add_argument(
        "--no-networks",
        action="store_true",
        help="do not compare with the official network",
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each; medians are shown")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--process-res", type=int, default=504)
    parser.add_argument("--num-max-points", type=int, default=1_000_000)
    parser.add_argument("--images", type=Path, default=ROOT / "examples/sample_scene")
    parser.add_argument(
        "--model", type=Path, default=None, help="path of an archive (default: mvs)"
    )
    return parser.parse_args()


def measure(options: argparse.Namespace) -> tuple[Report | None, WireReport]:
    """Measure the stages, then JSON and binary messages."""
    paths = sorted(options.images.glob("*.jpg"))[: options.frames]
    photos = [Photo(path.name, path.read_bytes()) for path in paths]
    name = str(options.model) if options.model else "mvs"
    with Server(["--device", "cpu", "--model", name]) as server:
        report = None if options.wire else measure_stages(server, photos, options)
        wire = measure_wire(server, photos, options.num_max_points, options.runs)
    return report, wire


def measure_stages(server: Server, photos: list[Photo], options: argparse.Namespace) -> Report:
    """Alternate between the bare model and the service."""
    # The service's workers use libtorch's default, all cores.
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    model = BareModel(options.model or embedded())
    parameters = {
        "process_res": options.process_res,
        "num_max_points": options.num_max_points,
    }
    bare: list[dict[str, float]] = []
    served: list[Measurement] = []
    for run in range(options.runs + 1):
        measurement = asyncio.run(server.measure(photos, parameters))
        width, height = measurement.metadata["processed_size"]
        seconds = model.run(photos, width, height)
        # Skip the first run, which compiles the model's code for these shapes.
        if run > 0:
            served.append(measurement)
            bare.append(seconds)
    return summarize(bare, served, threads)


def main() -> None:
    """Run the command."""
    parts = {
        "stream": measure_stream,
        "neighbours": measure_neighbours,
        "builds": measure_builds,
        "cancel": measure_cancel,
        "remote": measure_remote,
        "gateways": measure_gateways,
    }
    if part := parts.get("".join(sys.argv[1:2])):
        part(sys.argv[2:])
        return
    options = parse_arguments()
    report, wire = measure(options)
    networks = compare.parse_arguments(["--rounds", str(options.runs)])
    compared = None if options.wire or options.no_networks else compare.compare(networks)
    if options.json:
        stages = report.as_dict() if report else {}
        print(json.dumps({**stages, "wire": asdict(wire), "networks": compared}, indent=1))
        return
    if report:
        print(report.as_table(), end="\n\n")
    print(wire.as_table())
    if compared:
        print("\n" + compare.as_table(compared, networks))


if __name__ == "__main__":
    main()
