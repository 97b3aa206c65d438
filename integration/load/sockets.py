"""Sockets of one client process. They cost little, so that the server is what is measured."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MASK = b"\x12\x34\x56\x78"
TEXT = 0x81
CLOSE = 0x88
PING_FRAME, PONG_FRAME = 0x89, 0x8A
SHORT, LONG = 126, 127
CONNECTING = 32
"""Handshakes of a process at the same time."""
ANSWER_TIMEOUT = 60.0


def frame(text: bytes, opcode: int = TEXT) -> bytes:
    """A masked frame of a client."""
    size = len(text)
    if size < SHORT:
        head = struct.pack(">BB", opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", opcode, 0x80 | SHORT, size)
    else:
        head = struct.pack(">BBQ", opcode, 0x80 | LONG, size)
    # One long integer is masked faster than bytes one after another.
    mask = (MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(text, "big") ^ int.from_bytes(mask, "big")
    return head + MASK + masked.to_bytes(size, "big")


PING = frame(b'{"type":"ping"}')


class Socket(asyncio.Protocol):
    """A WebSocket that keeps what it must, and no more."""

    __slots__ = ("buffer", "ended", "open", "transport", "waiting")

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.buffer = b""
        self.open = False
        self.ended = False
        self.waiting: deque[asyncio.Future[str]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            head, separator, rest = self.buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self.transport.abort()
                return
            self.open, self.buffer = True, rest
        while (received := self._next()) is not None:
            opcode, payload = received
            if opcode == PING_FRAME:
                # The server drops a client that does not answer.
                self.transport.write(frame(payload, PONG_FRAME))
            elif opcode == TEXT and self.waiting:
                self.waiting.popleft().set_result(payload.decode(errors="replace"))

    def _next(self) -> tuple[int, bytes] | None:
        """The first byte and the payload of the next whole frame. No answer has more than one."""
        if len(self.buffer) < 2:
            return None
        opcode, size, begin = self.buffer[0], self.buffer[1], 2
        if size == SHORT:
            begin = 4
            size = int.from_bytes(self.buffer[2:4], "big")
        if len(self.buffer) < begin + size:
            return None
        payload = self.buffer[begin : begin + size]
        self.buffer = self.buffer[begin + size :]
        return opcode, payload

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        for future in self.waiting:
            if not future.done():
                future.set_exception(ConnectionError("the server closed the socket"))

    async def ask(self, message: bytes) -> str:
        """Send a message; the next message of the server is its answer."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.ended:
            raise ConnectionError("the server closed the socket")
        self.waiting.append(future)
        self.transport.write(message)
        return await asyncio.wait_for(future, ANSWER_TIMEOUT)


@dataclass
class Figures:
    """What the active sockets of a process have seen; times in seconds."""

    pings: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Process:
    """All sockets of this process."""

    def __init__(self, base: str, picture: bytes) -> None:
        self.host, port = urlsplit(base).netloc.rsplit(":", 1)
        self.port = int(port)
        data = base64.b64encode(picture).decode()
        self.image = frame(json.dumps({"type": "image", "data": data}).encode())
        self.idle: list[Socket] = []
        self.active: list[Socket] = []

    async def open(self, sessions: list[str], idle: bool) -> None:
        """Connect to these sessions, once for each mention."""
        gate = asyncio.Semaphore(CONNECTING)

        async def one(session: str) -> Socket:
            async with gate:
                loop = asyncio.get_running_loop()
                _, socket = await loop.create_connection(Socket, self.host, self.port)
                key = base64.b64encode(os.urandom(16)).decode()
                request = (
                    f"GET /ws/reconstruct/{session} HTTP/1.1\r\nHost: {self.host}\r\n"
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    f"Sec-WebSocket-Key: {key}\r\n\r\n"
                )
                first = json.loads(await socket.ask(request.encode()))
                if first["type"] != "connected":
                    raise ConnectionError(str(first))
                return socket

        opened = await asyncio.gather(*(one(session) for session in sessions))
        (self.idle if idle else self.active).extend(opened)

    async def run(self, seconds: float, period: float, upload_share: float) -> Figures:
        """Let the active sockets ping each `period`, and upload instead in a share of the cases."""
        figures = Figures()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        async def one(socket: Socket, dice: random.Random) -> None:
            await asyncio.sleep(dice.random() * period)
            while loop.time() < end:
                uploads = dice.random() < upload_share
                begin = time.perf_counter()
                try:
                    answer = await socket.ask(self.image if uploads else PING)
                except (ConnectionError, asyncio.TimeoutError) as error:
                    figures.failures.append(f"{type(error).__name__}: {error}")
                    return
                taken = time.perf_counter() - begin
                (figures.uploads if uploads else figures.pings).append(taken)
                if f'"type":"{"ack" if uploads else "pong"}"' not in answer:
                    figures.failures.append(answer[:200])
                await asyncio.sleep(period * (0.5 + dice.random()))

        tasks = (one(socket, random.Random(i)) for i, socket in enumerate(self.active))
        await asyncio.gather(*tasks)
        return figures

    async def ping_idle(self) -> int:
        """Ping all idle sockets once; return how many answered."""
        answers = []
        for begin in range(0, len(self.idle), 200):
            part = self.idle[begin : begin + 200]
            answers += await asyncio.gather(
                *(socket.ask(PING) for socket in part), return_exceptions=True
            )
        return sum(isinstance(answer, str) and "pong" in answer for answer in answers)

    async def close(self) -> None:
        """Leave: half of the sockets say goodbye, the others just end."""
        for index, socket in enumerate(self.idle + self.active):
            if index % 2:
                socket.transport.abort()
            else:
                socket.transport.write(frame(b"\x03\xe8", CLOSE))
        await asyncio.sleep(1)
        for socket in self.idle + self.active:
            socket.transport.abort()
        self.idle, self.active = [], []
