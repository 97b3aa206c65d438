"""How soon a cancelled request ends: `make bench ARGS="cancel --photos FOLDER --model ARCHIVE"`.

A session asks for a point cloud of all photos in one run of the model, again and again, and takes
the request back at another moment of the run each time. Prints how long the answer and the idle
worker take from then on. Ends with status 1 if the worker is not idle within the time that it may
take.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from .service import CLIENT_OPTIONS, ROOT, Photo, Server, receive, upload_one

REQUEST = '{"type":"generate","incremental":false}'


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="cancel ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photos", type=Path, metavar="FOLDER", required=True)
    parser.add_argument("--frames", type=int, default=16, help="photos of the request")
    parser.add_argument("--process-res", type=int, default=504)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--most-seconds", type=float, default=1.0, help="for the worker")
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pointstream")
    return parser.parse_args(arguments)


async def answer(socket: ClientConnection) -> dict[str, Any]:
    """The next message that is no progress."""
    while (message := json.loads(await socket.recv()))["type"] == "progress":
        pass
    return message


async def measure(
    server: Server, photos: list[Photo], options: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Seconds until the answers, and until the worker is idle."""
    query = f"process_res={options.process_res}&max_images={len(photos)}"
    created = server.rest("POST", f"/ws/session/create?{query}")["session_id"]
    address = f"{server.base.replace('http', 'ws', 1)}/ws/reconstruct/{created}"
    answers, idle = [], []
    async with connect(address, **CLIENT_OPTIONS) as socket:
        await receive(socket, "connected")
        for photo in photos:
            await upload_one(socket, photo)
        await asyncio.to_thread(server.wait_until_idle)
        whole = 0.0
        # The first run compiles the model's code.
        for _ in range(2):
            begin = time.perf_counter()
            await socket.send(REQUEST)
            await answer(socket)
            whole = time.perf_counter() - begin
        print(f"a whole request: {whole:.1f} s")
        for number in range(options.tries):
            await asyncio.to_thread(server.wait_until_idle)
            await socket.send(REQUEST)
            await asyncio.sleep(whole * (number + 0.5) / options.tries)
            begin = time.perf_counter()
            await socket.send('{"type":"cancel"}')
            message = await answer(socket)
            if message.get("code") != "cancelled":
                # It had ended, and so there is nothing to cancel.
                await answer(socket)
                continue
            answers.append(time.perf_counter() - begin)
            await asyncio.to_thread(server.wait_until_idle)
            idle.append(time.perf_counter() - begin)
    return answers, idle


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(arguments)
    paths = sorted(path for path in options.photos.iterdir() if path.suffix.lower() == ".jpg")
    if len(paths) < options.frames:
        sys.exit(f"error: {options.photos} has {len(paths)} JPEG files of {options.frames}")
    photos = [Photo(path.name, path.read_bytes()) for path in paths[: options.frames]]
    with Server(["--device", options.device, "--model", options.model], options.binary) as server:
        answers, idle = asyncio.run(measure(server, photos, options))
    if not idle:
        sys.exit("error: every request ended before it was cancelled")
    print(f"{len(idle)} of {options.tries} requests were cancelled while they ran")
    print(
        f"answered after {1000 * np.median(answers):.0f} ms, at most {1000 * max(answers):.0f} ms"
    )
    print(f"worker idle after {np.median(idle):.2f} s, at most {max(idle):.2f} s")
    if max(idle) > options.most_seconds:
        sys.exit(f"error: the worker takes more than {options.most_seconds:g} s")
