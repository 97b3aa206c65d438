"""Command line: `python -m integration.frozen --model ARCHIVE`.

Writes data directories as this program leaves them, to be opened by all later ones, where NUMBER is
that in the directory's marker:

- `integration/frozen/format-NUMBER.tar` has one session of two tiny images and a result;
- `integration/frozen/format-NUMBER-map.tar` has one that is completed, of images that fill several
  windows of a map, and webhooks that nobody has got.

The test `frozen` opens every such file. Run this once for each new format, with the archive `flat`
of the tests, and commit the files. Those that are there are never changed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import re
import sqlite3
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from integration.bench.service import ROOT

FOLDER = Path(__file__).resolve().parent
PARAMETERS = "max_images=20&process_res=28&num_max_points=500"
IMAGES_OF_MAP = 10
PATIENCE = 120.0
YEAR_2100 = 4_102_444_800
TIME = re.compile(rb"(secs_since_epoch\xce).{4}", re.DOTALL)
"""A time in a record: the name of the field, and a MessagePack number of 32 bits."""


def picture(index: int) -> bytes:
    """A PNG of 28 x 28 pixels."""
    rows, columns = np.mgrid[0:28, 0:28]
    red, green = 9 * columns, 9 * rows
    pixels = np.stack([red, green, np.full_like(red, (40 + 80 * index) % 256)], axis=-1)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


async def answer(socket: ClientConnection, expected: str) -> None:
    """Wait for an answer of this type."""
    while True:
        text = await asyncio.wait_for(socket.recv(), PATIENCE)
        message = json.loads(text)
        if message["type"] == expected:
            return
        if message["type"] == "error":
            sys.exit(f"error: {message['message']}")


async def create(base: str, query: str, body: dict[str, object]) -> str:
    """Make a session; return its identifier."""
    url = f"{base}/ws/session/create?{PARAMETERS}{query}"
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        identifier: str = json.load(response)["session_id"]
    return identifier


async def stream(base: str, session: str, count: int, last: dict[str, object], kind: str) -> None:
    """Send so many images, and then a request with this kind of answer."""
    address = base.replace("http", "ws", 1)
    async with connect(f"{address}/ws/reconstruct/{session}", max_size=None) as socket:
        for index in range(count):
            data = base64.b64encode(picture(index)).decode()
            image = {"type": "image", "data": data, "filename": f"{index}.png"}
            await socket.send(json.dumps(image))
            await answer(socket, "ack")
        await socket.send(json.dumps(last))
        await answer(socket, kind)


async def fill(base: str) -> None:
    """Make a session with two images and a result."""
    session = await create(base, "", {})
    await stream(base, session, 2, {"type": "generate", "incremental": True}, "delta")


async def fill_map(base: str) -> None:
    """Make a completed session with a map and a webhook."""
    # No resolver knows the name (RFC 6761, section 6.4).
    webhook = {"url": "https://receiver.invalid/hook"}
    session = await create(base, "&window=6", {"webhook": webhook})
    await stream(base, session, IMAGES_OF_MAP, {"type": "finalize"}, "complete")


async def serve(
    options: argparse.Namespace, data: str, fill: Callable[[str], Coroutine[Any, Any, None]]
) -> None:
    """Fill a data directory, and end the server as an operator does."""
    command = ["--model", str(options.model), "--device", "cpu", "--port", "0", "--data-dir", data]
    server = await asyncio.create_subprocess_exec(
        options.server, *command, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        line = await asyncio.wait_for(server.stdout.readline(), PATIENCE)
        base = line.decode().strip().removeprefix("listening on ")
        if not base.startswith("http"):
            sys.exit("error: the server did not start")
        await fill(base)
        server.terminate()
        await asyncio.wait_for(server.wait(), PATIENCE)
    finally:
        if server.returncode is None:
            server.kill()


def keep_for_ever(journal: Path) -> None:
    """Date a session's records into the future. Sessions expire also while no server runs, but a
    clock that was set back counts as no time."""
    far = YEAR_2100.to_bytes(4, "big")
    with closing(sqlite3.connect(journal)) as connection, connection:
        rows = connection.execute("SELECT number, content FROM records").fetchall()
        for number, content in rows:
            dated = TIME.sub(lambda found: found[1] + far, content)
            update = "UPDATE records SET content = ? WHERE number = ?"
            connection.execute(update, (dated, number))


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """An entry without what belongs to this machine."""
    if Path(entry.name).name == "lock":
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def main() -> None:
    """Parse the options, run a server and pack what it leaves."""
    parser = argparse.ArgumentParser(prog="python -m integration.frozen", description=__doc__)
    parser.add_argument("--server", type=Path, default=ROOT / "target/release/pointstream")
    parser.add_argument("--model", type=Path, required=True, help="the archive `flat`")
    options = parser.parse_args()
    for end, content in {"": fill, "-map": fill_map}.items():
        with tempfile.TemporaryDirectory(prefix="pointstream-frozen-") as data:
            asyncio.run(serve(options, data, content))
            for journal in Path(data).glob("sessions/*/journal.sqlite"):
                keep_for_ever(journal)
            number = (Path(data) / "pointstream-data").read_text().strip()
            target = FOLDER / f"format-{number}{end}.tar"
            if target.exists():
                print(f"{target} is there, and stays as it is")
                continue
            with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
                archive.add(data, arcname=".", filter=anonymous)
        print(target)


if __name__ == "__main__":
    main()
