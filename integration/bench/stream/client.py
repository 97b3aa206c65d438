"""A client that streams images and asks for updates, and measures each of them."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from ..service import CLIENT_OPTIONS, Photo, Server, receive
from .process import Usage, usage

PREFIX = struct.Struct("<3sBI")


@dataclass(frozen=True)
class Update:
    """One update, from sending its first image until its last byte; times in seconds."""

    first: int
    """Number of its first image in the session, from 1."""
    images: int
    """Images of the session when it was requested."""
    cpu: float
    """CPU time of the server."""
    upload: float
    """From sending the first image until the last acknowledgement."""
    first_byte: float
    """From sending `generate` until the first byte of the answer."""
    last_byte: float
    size: int
    """Bytes of the answer on the wire."""
    after: Usage
    """Of the server, when all has arrived."""
    metadata: dict[str, Any]


class Stream:
    """A session of the server with one connection."""

    def __init__(
        self, server: Server, session: str, socket: ClientConnection, appends: bool
    ) -> None:
        self.server = server
        self.session = session
        self.socket = socket
        self.images = 0
        self.appends = appends
        """Whether updates have only what is new."""

    async def update(self, photos: list[Photo], kind: str = "generate") -> Update:
        """Send photos one after another, and a request; wait for its whole answer."""
        pid = self.server.process.pid
        before = usage(pid)
        begin = time.perf_counter()
        for photo in photos:
            header = json.dumps({"type": "image", "filename": photo.name}).encode()
            await self.socket.send(PREFIX.pack(b"PSB", 1, len(header)) + header + photo.data)
            await receive(self.socket, "ack")
        asked = time.perf_counter()
        flags = {"incremental": True} if kind == "generate" else {}
        await self.socket.send(json.dumps({"type": kind, **flags}))
        first_byte, answer = await self._answer(asked)
        last_byte = time.perf_counter() - asked
        after = usage(pid)
        _, _, length = PREFIX.unpack_from(answer)
        header = json.loads(answer[PREFIX.size : PREFIX.size + length])
        if self.appends and "append" in header["metadata"]:
            number = header["metadata"]["append"]["number"]
            await self.socket.send(json.dumps({"type": "received", "number": number}))
        first, self.images = self.images + 1, self.images + len(photos)
        return Update(
            first=first,
            images=self.images,
            cpu=after.cpu - before.cpu,
            upload=asked - begin,
            first_byte=first_byte,
            last_byte=last_byte,
            size=len(answer),
            after=after,
            metadata=header["metadata"],
        )

    async def _answer(self, asked: float) -> tuple[float, bytes]:
        """The seconds until the first byte of the answer, and the answer."""
        while True:
            fragments, first_byte = [], 0.0
            async for fragment in self.socket.recv_streaming(decode=False):
                first_byte = first_byte or time.perf_counter() - asked
                fragments.append(fragment)
            message = b"".join(fragments)
            if message.startswith(b"PSB"):
                return first_byte, message
            if json.loads(message)["type"] != "progress":
                sys.exit(f"error: the server answered {message.decode()}")


@asynccontextmanager
async def stream(server: Server, parameters: dict[str, Any]) -> AsyncIterator[Stream]:
    """A new session, which is deleted at the end."""
    query = urllib.parse.urlencode(parameters)
    session = server.rest("POST", f"/ws/session/create?{query}")["session_id"]
    base = server.base.replace("http", "ws", 1)
    address = f"{base}/ws/reconstruct/{session}?binary=true&deltas=append"
    async with connect(address, **CLIENT_OPTIONS) as socket:
        # A server that cannot append ignores the parameter, and does not confirm it.
        appends = (await receive(socket, "connected")).get("deltas") == "append"
        yield Stream(server, session, socket, appends)
    await asyncio.to_thread(server.rest, "DELETE", f"/ws/session/{session}")
