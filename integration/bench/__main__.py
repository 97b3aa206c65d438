"""Measure one run by stage: `python -m integration.bench [--json]`; `make bench` builds first.

Every figure comes from the same run on the same machine, so that their ratios mean something even
where the machine is shared. The bare model and the service take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch

from .bare_model import BareModel, embedded
from .report import Report, summarize
from .service import ROOT, Measurement, Photo, Server
from .wire import WireReport, measure_wire


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--runs", type=int, default=3, help="of each; medians are shown")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--process-res", type=int, default=504)
    parser.add_argument("--num-max-points", type=int, default=1_000_000)
    parser.add_argument("--images", type=Path, default=ROOT / "examples/sample_scene")
    parser.add_argument("--model", type=Path, default=None, help="an archive; default: mvs")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> tuple[Report, WireReport]:
    """Run the bare model and the service in turns, and then both kinds of messages."""
    # The service's workers use what libtorch takes by default: every core.
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    paths = sorted(options.images.glob("*.jpg"))[: options.frames]
    photos = [Photo(path.name, path.read_bytes()) for path in paths]
    model = BareModel(options.model or embedded())
    parameters = {
        "process_res": options.process_res,
        "num_max_points": options.num_max_points,
    }
    name = str(options.model) if options.model else "mvs"
    bare: list[dict[str, float]] = []
    served: list[Measurement] = []
    with Server(["--device", "cpu", "--model", name]) as server:
        for run in range(options.runs + 1):
            measurement = asyncio.run(server.measure(photos, parameters))
            width, height = measurement.metadata["processed_size"]
            seconds = model.run(photos, width, height)
            # The first run of each compiles the model's code for these shapes.
            if run > 0:
                served.append(measurement)
                bare.append(seconds)
        wire = measure_wire(server, photos, options.num_max_points, options.runs)
    return summarize(bare, served, threads), wire


def main() -> None:
    """Run the command."""
    options = parse_arguments()
    report, wire = measure(options)
    if options.json:
        print(json.dumps({**report.as_dict(), "wire": asdict(wire)}, indent=1))
    else:
        print(report.as_table(), wire.as_table(), sep="\n\n")


if __name__ == "__main__":
    main()
