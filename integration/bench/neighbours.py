"""How long short requests wait beside a long one: `make bench ARGS="neighbours --photos FOLDER"`.

A session asks for a final result of many photos. Meanwhile others, of a few photos each, ask for a
point cloud at the same moment. Prints the longest wait of these as a multiple of the time that one
window of photos takes alone, and what the long request takes alone and beside them. Ends with
status 1 if the longest wait is more than two windows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import urllib.parse
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from .service import CLIENT_OPTIONS, ROOT, Photo, Server, receive, upload_one

WINDOW = 24
MOST_WINDOWS = 2.0
"""The longest that a short request may wait."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="neighbours ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--photos", type=Path, metavar="FOLDER", required=True)
    parser.add_argument("--large", type=int, default=60, help="photos of the long request")
    parser.add_argument("--neighbours", type=int, default=10, help="sessions beside it")
    parser.add_argument("--small", type=int, default=3, help="photos of each of them")
    parser.add_argument("--process-res", type=int, default=504)
    parser.add_argument("--mode", default="auto", help="finalize_mode of the long request")
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pointstream")
    return parser.parse_args(arguments)


class Session:
    """A session with its photos, ready to ask."""

    def __init__(self, server: Server, parameters: dict[str, object]) -> None:
        query = urllib.parse.urlencode(parameters)
        created = server.rest("POST", f"/ws/session/create?{query}")
        self._path = f"/ws/session/{created['session_id']}"
        self._server = server
        base = server.base.replace("http", "ws", 1)
        self._address = f"{base}/ws/reconstruct/{created['session_id']}"
        self._socket: ClientConnection | None = None

    async def upload(self, photos: list[Photo]) -> None:
        """Connect, unless that is done, and send the photos."""
        if self._socket is None:
            self._socket = await connect(self._address, **CLIENT_OPTIONS)
            await receive(self._socket, "connected")
        for photo in photos:
            await upload_one(self._socket, photo)

    async def ask(self, request: str) -> float:
        """Ask for a point cloud; return the seconds until the answer."""
        assert self._socket is not None
        begin = time.perf_counter()
        await self._socket.send(json.dumps({"type": request}))
        while (answer := json.loads(await self._socket.recv()))["type"] == "progress":
            pass
        if answer["type"] == "error":
            sys.exit(f"error: the server answered {answer}")
        return time.perf_counter() - begin

    async def close(self) -> None:
        """Disconnect, and delete the session."""
        if self._socket:
            await self._socket.close()
        await asyncio.to_thread(self._server.rest, "DELETE", self._path)


async def measure(server: Server, photos: list[Photo], options: argparse.Namespace) -> bool:
    """One window alone, the long request alone, and all together. Returns whether the short ones
    wait no longer than they may."""
    common = {"process_res": options.process_res}
    large = {**common, "finalize_mode": options.mode, "max_images": options.large}

    async def ready(parameters: dict[str, object], count: int, skip: int = 0) -> Session:
        session = Session(server, parameters)
        await session.upload(photos[skip : skip + count])
        return session

    async def alone(parameters: dict[str, object], count: int, request: str) -> float:
        session = await ready(parameters, count)
        await asyncio.to_thread(server.wait_until_idle)
        seconds = await session.ask(request)
        await session.close()
        return seconds

    # The first run compiles the model's code.
    await alone(common, WINDOW, "generate")
    window = await alone({**common, "finalize_mode": "whole"}, WINDOW, "finalize")
    long_alone = await alone(large, options.large, "finalize")
    long = await ready(large, options.large)
    others = [await ready(common, options.small, 5 * n) for n in range(options.neighbours)]
    await asyncio.to_thread(server.wait_until_idle)
    running = asyncio.create_task(long.ask("finalize"))
    await asyncio.sleep(min(1.0, long_alone / 4))
    waits = sorted(await asyncio.gather(*(session.ask("generate") for session in others)))
    long_beside = await running
    for session in (long, *others):
        await session.close()
    windows = waits[-1] / window
    print(f"one window of {WINDOW} photos, alone: {window:.1f} s")
    print(
        f"short requests beside the long one: {waits[0]:.1f} to {waits[-1]:.1f} s,"
        f" the last after {windows:.1f} windows"
    )
    print(
        f"long request of {options.large} photos: {long_alone:.1f} s alone,"
        f" {long_beside:.1f} s beside them"
    )
    return windows <= MOST_WINDOWS


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(arguments)
    paths = sorted(path for path in options.photos.iterdir() if path.suffix.lower() == ".jpg")
    needed = max(options.large, WINDOW, 5 * (options.neighbours - 1) + options.small)
    if len(paths) < needed:
        sys.exit(f"error: {options.photos} has {len(paths)} JPEG files, but {needed} are needed")
    photos = [Photo(path.name, path.read_bytes()) for path in paths[:needed]]
    arguments = ["--device", "cpu", "--model", options.model]
    with Server(arguments, options.binary) as server:
        within = asyncio.run(measure(server, photos, options))
    if not within:
        sys.exit(f"error: short requests wait for more than {MOST_WINDOWS:.0f} windows")
