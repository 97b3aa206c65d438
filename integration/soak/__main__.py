"""Mixed clients against one server: `make soak ARGS="--minutes 60"`.

Streams with whole and appended results, clients that disconnect and resume, images and messages
that are refused, results in all formats, sessions that are deleted while the model runs, sockets
that are cut or idle, and `POST /reconstruct`. The dice of the clients have a fixed seed; what meets
what still depends on the machine. Ends with status 1 if a figure of the server grows, a message
stays unanswered, something unexpected happens, or anything is left when all clients are gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from ..bench.service import ROOT, Server
from .client import Client
from .clients import KINDS, repeat
from .content import Photos
from .report import table, verdict
from .tally import Tally
from .watch import Sample, Watch, unexpected_errors
from .wire import Rest

LEAVE_TIMEOUT = 120.0
"""Seconds until nothing may be left of the clients."""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make soak ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0, help="minutes between two reports")
    parser.add_argument("--seed", type=int, default=1, help="of the clients' dice")
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument("--process-res", type=int, default=112)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument(
        "--server", type=Path, default=ROOT / "target/release/pointstream", help="the program"
    )
    return parser.parse_args()


async def soak(server: Server, options: argparse.Namespace, tally: Tally) -> Watch:
    """Run the clients; report and return the figures."""
    loop = asyncio.get_running_loop()
    # Each client may wait for a response.
    loop.set_default_executor(ThreadPoolExecutor(max_workers=32))
    rest = Rest(server.base)
    watch = Watch(server, rest, tally)
    empty = await watch.sample(0.0)
    begin = loop.time()
    seconds = options.minutes * 60
    photos = Photos()
    watching = asyncio.create_task(watch.run(begin))
    clients = []
    for name, (count, _) in KINDS.items():
        for index in range(count):
            dice = random.Random(f"{options.seed} {name} {index}")
            client = Client(server.base, rest, photos, tally, dice, options.process_res)
            clients.append(asyncio.create_task(repeat(name, client, begin + seconds)))
    reported = 0.0
    while reported < seconds:
        end = min(reported + options.every * 60, seconds)
        await asyncio.sleep(begin + end - loop.time())
        print(table(watch, tally, reported, end), flush=True)
        reported = end
        if watching.done():
            break
    await asyncio.gather(*clients)
    watching.cancel()
    after = await leave(watch, empty)
    print(f"\nbefore the first client: {asdict(empty)}\nafter the last one: {asdict(after)}")
    check_left(empty, after, tally)
    return watch


async def leave(watch: Watch, empty: Sample) -> Sample:
    """Wait until the server has forgotten the clients, as far as it does."""
    for _ in range(int(LEAVE_TIMEOUT)):
        after = await watch.sample(0.0)
        if left(empty, after) == {}:
            break
        await asyncio.sleep(1)
    return after


def left(empty: Sample, after: Sample) -> dict[str, int]:
    """What there is more of than before the first client."""
    names = ("actors", "sessions", "websockets", "data_files", "open_files")
    differences = {name: getattr(after, name) - getattr(empty, name) for name in names}
    # The runtime and libtorch open a few files on the way.
    differences["open_files"] -= 8
    return {name: more for name, more in differences.items() if more > 0}


def check_left(empty: Sample, after: Sample, tally: Tally) -> None:
    """Nothing may be left."""
    for name, more in left(empty, after).items():
        tally.surprise("left behind", f"{more} {name}")


def main() -> None:
    """Run the command."""
    options = parse_arguments()
    tally = Tally()
    with tempfile.TemporaryFile("w+") as log:
        arguments = ["--device", "cpu", "--model", options.model]
        with Server(arguments, options.server, log) as server:
            watch = asyncio.run(soak(server, options, tally))
            if server.process.poll() is not None:
                tally.surprise("server", f"ended with {server.process.returncode}")
        log.seek(0)
        for line in log:
            if '"ERROR"' in line:
                tally.surprise("log", line.strip())
    for kind, count in unexpected_errors(watch.metrics).items():
        tally.surprise("errors of the server", f"{count} of kind {kind}")
    wrong = verdict(watch, tally, options.minutes * 60)
    if options.json:
        samples = [asdict(sample) for sample in watch.samples]
        figures = {"samples": samples, "done": tally.done, "wrong": wrong}
        options.json.write_text(json.dumps(figures, indent=1))
    print("\n" + "\n".join(wrong or ["nothing grew, and every message was answered"]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
