"""A WebSocket client that knows which answer belongs to which message, and REST requests."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import urllib.parse
from collections import deque
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ..bench.service import CLIENT_OPTIONS
from .content import PREFIX
from .tally import Tally

ANSWER_TIMEOUT = 300.0
"""Seconds until a message counts as unanswered; a busy machine needs some."""
REST_TIMEOUT = 300.0

Answer = dict[str, Any]
"""A message of the server; a result without its point cloud."""


class CutError(Exception):
    """The socket ended before the answer."""


class Socket:
    """A connection to a session."""

    numbers = itertools.count(1)

    def __init__(self, connection: ClientConnection, tally: Tally) -> None:
        self.connection = connection
        self.tally = tally
        self.connected: Answer = {}
        self.progress = asyncio.Event()
        """Set when the server reports progress."""
        self.resumed: asyncio.Queue[Answer] = asyncio.Queue()
        """Answers to requests of an earlier connection."""
        self.named: dict[str, asyncio.Future[Answer]] = {}
        self.pings: deque[asyncio.Future[Answer]] = deque()
        self.nameless: deque[asyncio.Future[Answer]] = deque()
        """Messages without an `id`, which are all to be refused."""
        self.reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, base: str, session: str, tally: Tally, query: str = "") -> Socket:
        """Connect and wait for `connected`."""
        address = f"{base.replace('http', 'ws', 1)}/ws/reconstruct/{session}?{query}"
        # The library's own pings would end connections to a server that gets no processor for long.
        options = {**CLIENT_OPTIONS, "ping_interval": None}
        connection = await connect(address, open_timeout=60, **options)
        first = json.loads(await connection.recv())
        socket = cls(connection, tally)
        socket.connected = first
        if first["type"] != "connected":
            tally.surprise("first message", str(first))
        return socket

    async def _read(self) -> None:
        try:
            async for message in self.connection:
                self._take(read_message(message))
        except ConnectionClosed:
            pass
        finally:
            for future in [*self.named.values(), *self.pings, *self.nameless]:
                if not future.done():
                    future.set_exception(CutError())

    def _take(self, answer: Answer) -> None:
        kind, name = answer["type"], answer.get("id")
        if kind == "progress":
            self.progress.set()
            return
        if kind == "pong":
            future = self.pings.popleft() if self.pings else None
        elif name is not None:
            future = self.named.pop(name, None)
        elif kind == "error" and self.nameless:
            future = self.nameless.popleft()
        else:
            future = None
        if future is not None and not future.done():
            future.set_result(answer)
        elif kind in ("delta", "complete", "error"):
            self.resumed.put_nowait(answer)
        elif future is None:
            self.tally.surprise("answer to nothing", str(answer)[:200])

    async def ask(self, kind: str, message: str | bytes, future: asyncio.Future[Answer]) -> Answer:
        """Send a message and wait for its answer."""
        self.tally.sent[kind] += 1
        try:
            await self.connection.send(message)
        except ConnectionClosed:
            if not future.done():
                future.set_exception(CutError())
        try:
            answer = await asyncio.wait_for(asyncio.shield(future), ANSWER_TIMEOUT)
        except asyncio.TimeoutError:
            self.tally.missing(kind, str(message)[:100])
            raise CutError from None
        self.tally.answered[kind] += 1
        return answer

    def _named(self) -> tuple[str, asyncio.Future[Answer]]:
        name = f"m{next(self.numbers)}"
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # Whoever waits sees the exception; without this, one that nobody waits for is logged.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.named[name] = future
        return name, future

    async def request(self, kind: str, **fields: Any) -> Answer:
        """Send `generate`, `finalize` or `map`."""
        name, future = self._named()
        if kind == "generate":
            fields.setdefault("incremental", True)
        return await self.ask(kind, json.dumps({"type": kind, "id": name, **fields}), future)

    async def image(self, make: Any) -> Answer:
        """Send the image message that `make` returns for an `id`."""
        name, future = self._named()
        return await self.ask("image", make(name), future)

    async def ping(self) -> Answer:
        """Send `ping`."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.pings.append(future)
        return await self.ask("ping", '{"type":"ping"}', future)

    async def bad(self, message: str | bytes) -> Answer:
        """Send a message that is to be refused."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.nameless.append(future)
        return await self.ask("bad", message, future)

    async def received(self, number: int) -> None:
        """Confirm an update, which has no answer."""
        await self.connection.send(json.dumps({"type": "received", "number": number}))

    async def close(self) -> int | None:
        """Close the connection; return the close code."""
        await self.connection.close()
        await self.reader
        return self.connection.close_code

    async def cut(self) -> None:
        """End the connection without a word."""
        self.connection.transport.abort()
        await self.reader

    async def ended(self) -> int | None:
        """Wait until the server closes the connection; return the close code."""
        await asyncio.wait_for(asyncio.shield(self.reader), ANSWER_TIMEOUT)
        return self.connection.close_code


def read_message(message: str | bytes) -> Answer:
    """A message of the server without its point cloud."""
    if isinstance(message, bytes):
        _, _, length = PREFIX.unpack_from(message)
        message = message[PREFIX.size : PREFIX.size + length].decode()
    answer: Answer = json.loads(message)
    answer.pop("glb_base64", None)
    return answer


class Rest:
    """REST requests, each on a thread and a connection of its own."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.address = urllib.parse.urlsplit(base).netloc

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The status, the headers and the body of the response."""

        def work() -> tuple[int, http.client.HTTPMessage, bytes]:
            connection = http.client.HTTPConnection(self.address, timeout=REST_TIMEOUT)
            try:
                connection.request(method, path, body, headers or {})
                response = connection.getresponse()
                return response.status, response.headers, response.read()
            finally:
                connection.close()

        return await asyncio.to_thread(work)

    async def json(self, method: str, path: str) -> Any:
        """The body of a response that must be a success."""
        status, _, body = await self.send(method, path)
        if status != 200:
            raise AssertionError(f"{method} {path}: {status} {body[:200]!r}")
        return json.loads(body)
