"""Large photos from many clients at once: `make load ARGS="uploads"`.

So many photos of 5 MB come at 1 MB/s each, then fewer of 30 MB: as binary messages, as text with
base64, in fragments, and by `POST /reconstruct`. Together they need more memory than uploads may
have. Meanwhile a client of another address sends small images. Ends with status 1 if a photo is
not acknowledged, or a small image is not, or takes too long.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import itertools
import json
import os
import struct
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from ..bench.service import ROOT, Server
from .sockets import CLOSE, PING_FRAME, PONG_FRAME, SHORT, TEXT, frame

BINARY, MORE, LAST = 0x82, 0x00, 0x80
FRAGMENT = 64 << 10
PIECE = 64 << 10
"""Bytes that are sent at a time."""
SOCKETS_PER_SESSION = 8
LARGE_FROM, SMALL_FROM = "127.0.0.2", "127.0.0.3"
"""Addresses of clients: both are of this machine, and count as two clients."""
SMALL_SIDE = 64
SMALL_PERIOD = 0.5


@dataclass
class Round:
    """Photos that come at once."""

    count: int
    megabytes: float


ROUNDS = [Round(130, 5.0), Round(40, 30.0)]


@dataclass
class Outcome:
    """What became of the photos of a round."""

    seconds: list[float] = field(default_factory=list)
    """Of those that were acknowledged, from the beginning of the round."""
    small: list[float] = field(default_factory=list)
    """Of each small image."""
    refused: list[str] = field(default_factory=list)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='make load ARGS="uploads ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pace", type=float, default=1.0, help="MB/s of each client")
    parser.add_argument("--most-seconds", type=float, default=600.0, help="for a round")
    parser.add_argument("--most-small", type=float, default=5.0, help="seconds for a small image")
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument(
        "--server", type=Path, default=ROOT / "target/release/pointstream", help="the program"
    )
    return parser.parse_args(arguments)


def noise(megabytes: float) -> bytes:
    """A photo that cannot be compressed."""
    side = int((megabytes * 1e6 / 3) ** 0.5)
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()


def fragments(message: bytes) -> bytes:
    """A binary message in many frames."""
    parts = [message[begin : begin + FRAGMENT] for begin in range(0, len(message), FRAGMENT)]
    opcodes = [BINARY & ~LAST] + [MORE] * (len(parts) - 1)
    opcodes[-1] |= LAST
    return b"".join(frame(part, opcode) for part, opcode in zip(parts, opcodes, strict=True))


class Messages:
    """A photo in the forms that clients send."""

    def __init__(self, photo: bytes) -> None:
        head = json.dumps({"type": "image", "filename": "photo.png"}).encode()
        binary = struct.pack("<3sBI", b"PSB", 1, len(head)) + head + photo
        text = {"type": "image", "filename": "photo.png", "data": base64.b64encode(photo).decode()}
        self.sockets = [
            frame(binary, BINARY),
            frame(json.dumps(text).encode()),
            fragments(binary),
        ]
        boundary = "photo-boundary"
        part = 'Content-Disposition: form-data; name="images"; filename="photo.png"'
        body = f"--{boundary}\r\n{part}\r\nContent-Type: image/png\r\n\r\n".encode()
        body += photo + f"\r\n--{boundary}--\r\n".encode()
        request = (
            "POST /reconstruct?async=true&process_res=126 HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: multipart/form-data; boundary={boundary}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.request = request.encode() + body


class Connection:
    """A connection that sends at a pace."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pace: float
    ) -> None:
        self.reader, self.writer, self.pace = reader, writer, pace
        self.sending = False

    @classmethod
    async def open(cls, server: Server, address: str, pace: float) -> Connection:
        """Connect from this address."""
        netloc = urlsplit(server.base)
        streams = await asyncio.open_connection(
            netloc.hostname, netloc.port, local_addr=(address, 0)
        )
        return cls(*streams, pace)

    async def upgrade(self, session: str) -> None:
        """Make it a socket of the session."""
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws/reconstruct/{session} HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n"
        )
        self.writer.write(request.encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(head.decode(errors="replace")[:200])
        await self.answer()

    async def send(self, message: bytes) -> None:
        """Send at the pace, or as slowly as the server reads."""
        self.sending = True
        for begin in range(0, len(message), PIECE):
            self.writer.write(message[begin : begin + PIECE])
            await self.writer.drain()
            await asyncio.sleep(PIECE / 1e6 / self.pace)
        self.sending = False

    async def answer(self) -> str:
        """The next message of the server."""
        while True:
            opcode, size = await self.reader.readexactly(2)
            if size == SHORT:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            payload = await self.reader.readexactly(size)
            if opcode == PING_FRAME and not self.sending:
                # Nothing may come in the middle of a frame.
                self.writer.write(frame(payload, PONG_FRAME))
            elif opcode == TEXT:
                return payload.decode(errors="replace")
            elif opcode == CLOSE:
                raise ConnectionError(f"closed: {payload[2:].decode(errors='replace')}")

    async def status(self) -> str:
        """The status line of an HTTP response."""
        line = (await self.reader.readline()).decode(errors="replace").strip()
        return line or "the connection was closed"


async def exchange(connection: Connection, message: bytes, answer: Awaitable[str]) -> str:
    """Send a message, and return the answer as soon as it comes."""
    reading = asyncio.ensure_future(answer)
    sending = asyncio.create_task(connection.send(message))
    try:
        await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
        return await reading
    finally:
        sending.cancel()
        # What the server says matters, not that it stopped reading.
        await asyncio.gather(sending, return_exceptions=True)
        connection.writer.transport.abort()


async def upload(server: Server, session: str, message: bytes, pace: float) -> str:
    """Send a message on a socket of its own; return what is wrong, or nothing."""
    connection = await Connection.open(server, LARGE_FROM, pace)
    await connection.upgrade(session)
    answer = await exchange(connection, message, connection.answer())
    return "" if '"type":"ack"' in answer else answer


async def post(server: Server, request: bytes, pace: float) -> str:
    """Send a photo by `POST /reconstruct`; return what is wrong, or nothing."""
    connection = await Connection.open(server, LARGE_FROM, pace)
    line = await exchange(connection, request, connection.status())
    return "" if " 202 " in line else line


async def small_images(server: Server, session: str, outcome: Outcome) -> None:
    """A client of another address that sends small images, one after another."""
    file = io.BytesIO()
    Image.new("RGB", (SMALL_SIDE, SMALL_SIDE), (90, 120, 40)).save(file, "JPEG")
    data = base64.b64encode(file.getvalue()).decode()
    message = frame(json.dumps({"type": "image", "data": data}).encode())
    connection = await Connection.open(server, SMALL_FROM, 1000.0)
    await connection.upgrade(session)
    while True:
        begin = time.perf_counter()
        connection.writer.write(message)
        answer = await connection.answer()
        outcome.small.append(time.perf_counter() - begin)
        if '"type":"ack"' not in answer:
            outcome.refused.append(f"a small image: {answer}")
        await asyncio.sleep(SMALL_PERIOD)


async def run(server: Server, part: Round, options: argparse.Namespace) -> Outcome:
    """All photos of a round at once."""
    outcome = Outcome()
    messages = Messages(noise(part.megabytes))
    create = "/ws/session/create?process_res=126&max_images=1000"
    sockets = -(-part.count // SOCKETS_PER_SESSION)
    sessions = [server.rest("POST", create)["session_id"] for _ in range(sockets + 1)]
    forms = itertools.cycle([*messages.sockets, None])
    begin = time.perf_counter()

    async def one(form: bytes | None, session: str) -> None:
        sending = (
            post(server, messages.request, options.pace)
            if form is None
            else upload(server, session, form, options.pace)
        )
        try:
            wrong = await asyncio.wait_for(sending, options.most_seconds)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            outcome.refused.append(wrong)
        else:
            outcome.seconds.append(time.perf_counter() - begin)

    small = asyncio.create_task(small_images(server, sessions[-1], outcome))
    photos = [
        one(next(forms), sessions[index // SOCKETS_PER_SESSION]) for index in range(part.count)
    ]
    await asyncio.gather(*photos)
    small.cancel()
    failed = (await asyncio.gather(small, return_exceptions=True))[0]
    if not isinstance(failed, asyncio.CancelledError):
        outcome.refused.append(f"small images: {failed}")
    for session in sessions:
        server.rest("DELETE", f"/ws/session/{session}")
    return outcome


def peak_megabytes(pid: int) -> float:
    """The largest resident memory of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    return kibibytes * 1024 / 1e6


def measure(options: argparse.Namespace) -> list[str]:
    """Run all rounds; return what is wrong."""
    wrong: list[str] = []
    with Server(["--device", "cpu", "--model", options.model], options.server) as server:
        for part in ROUNDS:
            outcome = asyncio.run(run(server, part, options))
            seconds, small = outcome.seconds or [0.0], outcome.small or [0.0]
            print(
                f"{part.count} photos of {part.megabytes:.0f} MB at {options.pace:.0f} MB/s: "
                f"{len(outcome.seconds)} acknowledged after {min(seconds):.1f} to "
                f"{max(seconds):.1f} s; {len(outcome.small)} small images beside them, median "
                f"{1000 * np.median(small):.0f} ms, longest {max(small):.2f} s"
            )
            wrong += outcome.refused[:5]
            if max(small) > options.most_small:
                wrong.append(f"a small image took {max(small):.1f} s")
        print(f"largest memory of the server: {peak_megabytes(server.process.pid):.0f} MB")
    return wrong
