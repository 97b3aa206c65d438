"""A server that plays a scenario of clients/conformance, and says where a client departs from it.

clients/conformance/README.md describes the files.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import urllib.parse
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

PREFIX = struct.Struct("<3sBI")
INFO = {"name": "pointstream", "protocol_version": "1.0.0", "limits": {}}


class DepartureError(Exception):
    """The client did something else than the scenario says."""


@dataclass
class Route:
    """Requests of one kind, and their answers one after another. The last one is repeated."""

    request: dict[str, Any]
    answers: list[dict[str, Any]]
    times: int | None = None
    seen: int = 0


@dataclass
class Scenario:
    """The server's part of a file."""

    routes: list[Route]
    sockets: list[dict[str, Any]]
    names: dict[str, Any] = field(default_factory=dict)
    connected: int = 0
    # Messages of the client that came, but for pings.
    messages: int = 0
    finished: int = 0
    departures: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Scenario:
        routes = [
            Route(one["request"], one["answers"], one.get("times"))
            for one in document.get("http", [])
        ]
        routes.append(Route({"method": "GET", "path": "/info"}, [{"status": 200, "json": INFO}]))
        return cls(routes, document.get("sockets", []))

    def match(self, expected: Any, found: Any) -> bool:
        """Whether what was found has all that is expected. `$name` is the same value everywhere."""
        if isinstance(expected, str) and expected.startswith("$"):
            return bool(self.names.setdefault(expected, found) == found)
        if isinstance(expected, dict):
            return isinstance(found, dict) and all(
                self.match(value, found.get(key)) for key, value in expected.items()
            )
        if isinstance(expected, list):
            return (
                isinstance(found, list)
                and len(expected) == len(found)
                and all(self.match(*pair) for pair in zip(expected, found, strict=True))
            )
        return bool(expected == found)

    def filled(self, value: Any) -> Any:
        """A value with the names in it replaced."""
        if isinstance(value, str) and value.startswith("$"):
            return self.names[value]
        if isinstance(value, dict):
            return {key: self.filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.filled(one) for one in value]
        return value

    def check_end(self) -> None:
        """Raise if the client departed from the scenario, or did not do all of it."""
        if self.departures:
            raise DepartureError("; ".join(self.departures))
        if self.finished != len(self.sockets):
            raise DepartureError(
                f"{self.finished} of {len(self.sockets)} sockets came to their end"
            )
        for route in self.routes:
            if route.times is not None and route.seen != route.times:
                raise DepartureError(f"{route.request}: {route.seen} requests, not {route.times}")


class ScriptedServer:
    """Serves a scenario on a free port."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.scenario = Scenario.of(document)

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            method, target, _ = lines[0].split(" ", 2)
            pairs = (line.partition(":") for line in lines[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            if headers.get("upgrade", "").lower() == "websocket":
                await _Socket(self.scenario, reader, writer).serve(head, target, headers)
            else:
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                writer.write(self._answer(method, target, headers, body))
                await writer.drain()
        except DepartureError as departure:
            self.scenario.departures.append(str(departure))
            writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.scenario.departures.append(f"the client has gone: {error!r}")
        finally:
            writer.close()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        parts = urllib.parse.urlsplit(target)
        found = {
            "method": method,
            "path": parts.path,
            "query": dict(urllib.parse.parse_qsl(parts.query)),
            "headers": headers,
            "json": json.loads(body) if body else None,
        }
        for route in self.scenario.routes:
            if self.scenario.match(route.request, found):
                answer = route.answers[min(route.seen, len(route.answers) - 1)]
                route.seen += 1
                return _response(self.scenario.filled(answer))
        raise DepartureError(f"unexpected request: {method} {target}")


def _response(answer: dict[str, Any]) -> bytes:
    if "body_base64" in answer:
        body = base64.b64decode(answer["body_base64"])
    else:
        body = json.dumps(answer.get("json", {})).encode()
    headers = {**answer.get("headers", {}), "content-length": len(body), "connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer['status']} Scripted\r\n{head}\r\n".encode() + body


class _Socket:
    """One connection of a WebSocket."""

    def __init__(
        self, scenario: Scenario, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.scenario = scenario
        self.reader = reader
        self.writer = writer
        self.protocol = ServerProtocol(max_size=None)
        self.received: list[str | bytes] = []

    async def serve(self, head: bytes, target: str, headers: dict[str, str]) -> None:
        index = self.scenario.connected
        self.scenario.connected += 1
        if index >= len(self.scenario.sockets):
            raise DepartureError("one connection too many")
        script = self.scenario.sockets[index]
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if query != script["query"]:
            raise DepartureError(f"socket {index}: the query is {query}, not {script['query']}")
        found = {"path": parts.path, "headers": headers}
        if not self.scenario.match(script.get("request", {}), found):
            raise DepartureError(f"socket {index}: the request is {found}")
        if "refused" in script:
            self.writer.write(_response(script["refused"]))
            await self.writer.drain()
            self.scenario.finished += 1
            return
        self.protocol.receive_data(head)
        (request,) = self.protocol.events_received()
        assert isinstance(request, Request)
        self.protocol.send_response(self.protocol.accept(request))
        await self._flush()
        for number, step in enumerate(script["steps"]):
            try:
                await self._step(step)
            except (DepartureError, asyncio.IncompleteReadError) as error:
                raise DepartureError(f"socket {index}, step {number}: {error}") from error
        self.scenario.finished += 1
        await self._until_closed()

    async def _step(self, step: dict[str, Any]) -> None:
        if "send" in step:
            text = json.dumps(self.scenario.filled(step["send"]))
            self.protocol.send_text(text.encode())
            await self._flush()
        elif "send_binary" in step:
            header = json.dumps(self.scenario.filled(step["send_binary"]["header"])).encode()
            data = base64.b64decode(step["send_binary"]["data_base64"])
            self.protocol.send_binary(PREFIX.pack(b"PSB", 1, len(header)) + header + data)
            await self._flush()
        elif "expect" in step:
            self._check(step["expect"], await self._message())
        elif "quiet" in step:
            with suppress(asyncio.TimeoutError):
                message = await asyncio.wait_for(self._message(), step["quiet"])
                raise DepartureError(f"a message too early: {str(message)[:200]}")
        elif "close" in step:
            self.protocol.send_close(step["close"]["code"], step["close"].get("reason", ""))
            await self._flush()
        elif "drop" in step:
            # Without a closing handshake, as when a network goes away.
            self.writer.transport.abort()
        else:
            raise DepartureError(f"unknown step {step}")

    def _check(self, expected: dict[str, Any], message: dict[str, Any]) -> None:
        self.scenario.messages += 1
        if not self.scenario.match(expected, message):
            short = {key: str(value)[:80] for key, value in message.items()}
            raise DepartureError(f"expected {expected}, got {short}")

    async def _message(self) -> dict[str, Any]:
        """The next message but for pings. A binary one has `binary`, and its bytes as `data`."""
        while True:
            while not self.received:
                await self._read()
            received = self.received.pop(0)
            if isinstance(received, bytes):
                magic, layout, length = PREFIX.unpack_from(received)
                if (magic, layout) != (b"PSB", 1):
                    raise DepartureError("a binary message of another layout")
                end = PREFIX.size + length
                header = json.loads(received[PREFIX.size : end])
                data = base64.b64encode(received[end:]).decode()
                return {**header, "binary": True, "data": data}
            message: dict[str, Any] = json.loads(received)
            if message["type"] != "ping":
                return message
            self.protocol.send_text(b'{"type": "pong", "session_id": "s"}')
            await self._flush()

    async def _read(self) -> None:
        data = await self.reader.read(65536)
        if not data:
            raise DepartureError("the client closed the connection")
        self.protocol.receive_data(data)
        await self._flush()
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                continue
            if event.opcode is Opcode.TEXT:
                self.received.append(event.data.decode())
            elif event.opcode is Opcode.BINARY:
                self.received.append(bytes(event.data))
            elif event.opcode is Opcode.CLOSE:
                raise DepartureError("the client closed the connection")

    async def _until_closed(self) -> None:
        """Answer pings until the client goes. Anything else is too much."""
        try:
            message = await self._message()
        except (DepartureError, ConnectionError):
            return
        raise DepartureError(f"a message too much: {str(message)[:200]}")

    async def _flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.writer.write(data)
        await self.writer.drain()
