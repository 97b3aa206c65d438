"""Compare the official network, our archive and the service: `python -m integration.bench.compare`.

Depth Anything 3 with random weights, on the CPU with equal threads or on one GPU. The three
alternate, so that their ratios are meaningful even on a shared machine; each ratio is the median
over rounds. By default the official network computes in bfloat16 on a GPU; `--precision bf16` makes
all three do so.

The report has wall-clock time and CPU time; other programs disturb CPU time less.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from websockets.asyncio.client import connect

from weights.contract import load_archive, run_model
from weights.da3.config import ANY_VIEW
from weights.da3.precision import DTYPES
from weights.tests.da3_networks import random_network
from weights.tests.da3_official import official_network

from .photos import photos_of
from .service import ROOT, Photo, Server, generate, receive, upload_one

NAMES = ("official", "archive", "service")
GPU_CHUNK = 8
"""Frames per call on a GPU."""
RELEASE = ROOT / "target/release/pointstream"
Seconds = tuple[float, float]
"""Wall-clock and CPU time in seconds."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m integration.bench.compare")
    parser.add_argument("--size", choices=[*_sizes()], default="small")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--height", type=int, default=280)
    parser.add_argument("--width", type=int, default=504)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=DTYPES, default="fp32", help="half: for GPUs")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--server", type=Path, default=RELEASE, help="the service's binary")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--no-service", action="store_true", help="needs no release build")
    return parser.parse_args(arguments)


def official_of(size: str) -> nn.Module:
    """The official network with the weights of the archive."""
    config = ANY_VIEW[f"da3-{size}"]
    network = official_network(config).requires_grad_(False)
    network.load_state_dict({**network.state_dict(), **random_network(config).state_dict()})
    return network


async def serve(server: Server, photos: list[Photo], side: int) -> None:
    """Run a session: upload all photos and request a point cloud; wait for its last byte."""
    session = server.rest("POST", f"/ws/session/create?process_res={side}")["session_id"]
    address = f"{server.base.replace('http', 'ws', 1)}/ws/reconstruct/{session}"
    async with connect(address, max_size=None, compression=None) as socket:
        await receive(socket, "connected")
        for photo in photos:
            await upload_one(socket, photo)
        await generate(socket)
    server.rest("DELETE", f"/ws/session/{session}")


def processor_seconds(server: Server | None) -> float:
    """CPU time in seconds of this process and the server so far."""
    seconds = time.process_time()
    if server:
        stat = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def take_turns(
    calls: dict[str, Callable[[], object]], rounds: int, server: Server | None
) -> dict[str, list[Seconds]]:
    """Alternate between the calls; return their seconds by round, without a warm-up round."""
    seconds: dict[str, list[Seconds]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter(), processor_seconds(server)
            call()
            end = time.perf_counter(), processor_seconds(server)
            if i > 0:
                seconds[name].append((end[0] - begin[0], end[1] - begin[1]))
    return seconds


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[Seconds]]:
    """Measure the official network, the archive and the service; return seconds by round."""
    torch.set_num_threads(options.threads)
    path = folder / "random.pt"
    command = [sys.executable, "-W", "ignore", "-m", "weights.da3.export", "-o", str(path)]
    command += ["--random", options.size, "--precision", options.precision]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    photos, pixels = photos_of(options.frames, options.height, options.width)
    module, metadata = load_archive(path, options.device)
    pixels = pixels.to(options.device)
    assert metadata.normalisation is not None
    mean, deviation = (
        torch.tensor(numbers, device=options.device).view(3, 1, 1)
        for numbers in (metadata.normalisation.mean, metadata.normalisation.deviation)
    )
    official = official_of(options.size).to(options.device)
    on_gpu = options.device.startswith("cuda")
    dtype = DTYPES[options.precision]

    def wait() -> None:
        if on_gpu:
            torch.cuda.synchronize(options.device)

    def run_official() -> None:
        half = torch.autocast("cuda", dtype, enabled=on_gpu and dtype != torch.float32)
        with torch.inference_mode(), half:
            official(((pixels / 255.0 - mean) / deviation)[None])
        wait()

    def run_archive() -> None:
        run_model(module, metadata, pixels, GPU_CHUNK if on_gpu else 1)
        wait()

    calls: dict[str, Callable[[], object]] = {"official": run_official, "archive": run_archive}
    if options.no_service:
        return take_turns(calls, options.rounds, None)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    side = max(options.height, options.width)
    with Server(["--device", options.device, "--model", str(path)], options.server) as server:
        calls["service"] = lambda: asyncio.run(serve(server, photos, side))
        return take_turns(calls, options.rounds, server)


def main() -> None:
    """Run the command."""
    options = parse_arguments()
    report = compare(options)
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(as_table(report, options))


def compare(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure, and return the medians and their ratios."""
    with tempfile.TemporaryDirectory(prefix="pointstream-compare-") as folder:
        return summarize(measure(options, Path(folder)))


def as_table(report: dict[str, dict[str, float]], options: argparse.Namespace) -> str:
    """Format the report as a table."""
    lines = [
        f"da3-{options.size}, {options.frames} frames at {options.width}x{options.height}, "
        f"{options.device} with {options.threads} threads, {options.precision}, "
        f"medians of {options.rounds} rounds",
        f"{'':20} {'clock':>9} {'processor':>9}",
    ]
    for name, values in report.items():
        lines.append(f"{name:20} {values['clock']:9.3f} {values['processor']:9.3f}")
    return "\n".join(lines)


def summarize(seconds: dict[str, list[Seconds]]) -> dict[str, dict[str, float]]:
    """Medians in seconds, and medians of the ratio of each to the previous one."""
    rows = dict(seconds)
    for other, name in itertools.pairwise(NAMES):
        if name in seconds:
            pairs = zip(seconds[name], seconds[other], strict=True)
            rows[f"{name} / {other}"] = [
                (one[0] / base[0], one[1] / base[1]) for one, base in pairs
            ]
    return {
        name: {
            "clock": statistics.median(value[0] for value in values),
            "processor": statistics.median(value[1] for value in values),
        }
        for name, values in rows.items()
    }


def _sizes() -> list[str]:
    return [name.removeprefix("da3-") for name in ANY_VIEW]


if __name__ == "__main__":
    main()
