"""The server under test, and a client that measures it."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 120.0
PING_INTERVAL = 0.05
LOOK_INTERVAL = 0.02
CLIENT_OPTIONS: dict[str, Any] = {"max_size": None, "compression": None}


@dataclass
class Photo:
    """An encoded image and its name."""

    name: str
    data: bytes


@dataclass
class Measurement:
    """One session from its first image to its point cloud; times in seconds."""

    upload: list[float]
    """From sending an image until its acknowledgement, per image."""
    request: float
    """From sending `generate` until the last byte of the answer."""
    answer_bytes: int
    metadata: dict[str, Any]
    pings: list[float]
    """Round-trip time of each ping that was answered while the model ran."""


class Server:
    """A server process on a free port, with its own data directory."""

    def __init__(
        self,
        options: list[str],
        binary: Path = ROOT / "target/release/pointstream",
        log: TextIO | None = None,
    ) -> None:
        """`log`: a file for the log, which otherwise goes to stderr."""
        self.folder = tempfile.TemporaryDirectory(prefix="pointstream-bench-")
        command = [str(binary), "--port", "0"]
        command += ["--data-dir", self.folder.name, "--log-level", "WARNING"]
        # JSON logs omit the start-up hints for people.
        command += ["--log-format", "json", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.base = ""

    def __enter__(self) -> Server:
        # Reading a pipe has no timeout, so a timer kills a server that never listens.
        clock = threading.Timer(START_TIMEOUT, self.process.kill)
        clock.start()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.base = line.split()[-1]
                break
        clock.cancel()
        if not self.base:
            self.close()
            sys.exit("error: the server did not start")
        until(lambda: self.rest("GET", "/readyz", {200, 503})["ready_workers"] > 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Terminate the process and remove its files."""
        self.process.terminate()
        self.process.wait(timeout=60)
        self.folder.cleanup()

    def rest(
        self, method: str, path: str, statuses: frozenset[int] | set[int] = frozenset()
    ) -> Any:
        """Send a REST request; a status other than success is an error unless expected."""
        request = urllib.request.Request(self.base + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if error.code in statuses:
                return json.load(error)
            raise

    def wait_until_idle(self) -> None:
        """Wait until all workers are idle in two checks, because work may be in transit in one."""
        for _ in range(2):
            until(lambda: not _working(self.rest("GET", "/actors")))
            time.sleep(LOOK_INTERVAL)

    async def measure(
        self, photos: list[Photo], parameters: dict[str, Any], through: Server | None = None
    ) -> Measurement:
        """Upload the photos one by one, request a point cloud and ping until it arrives. `through`:
        another server that the client is connected to."""
        query = urllib.parse.urlencode({**parameters, "max_images": len(photos)})
        session = self.rest("POST", f"/ws/session/create?{query}")["session_id"]
        base = (through or self).base.replace("http", "ws", 1)
        address = f"{base}/ws/reconstruct/{session}"
        options = CLIENT_OPTIONS
        async with connect(address, **options) as socket, connect(address, **options) as other:
            await receive(socket, "connected")
            await receive(other, "connected")
            upload = []
            for photo in photos:
                upload.append(await upload_one(socket, photo))
                # Wait for encoding ahead: it is model time, not upload time.
                await asyncio.to_thread(self.wait_until_idle)
            measuring = asyncio.create_task(ping_for_ever(other))
            request, text = await generate(socket)
            measuring.cancel()
            answer = json.loads(text)
            pings = await finish(measuring)
        self.rest("DELETE", f"/ws/session/{session}")
        return Measurement(upload, request, len(text), answer["metadata"], pings)


async def upload_one(socket: ClientConnection, photo: Photo) -> float:
    """Send an image; return the seconds until its acknowledgement."""
    data = base64.b64encode(photo.data).decode()
    message = json.dumps({"type": "image", "data": data, "filename": photo.name})
    begin = time.perf_counter()
    await socket.send(message)
    await receive(socket, "ack")
    return time.perf_counter() - begin


async def generate(socket: ClientConnection) -> tuple[float, bytes]:
    """Send the request; return the seconds until the last byte of the answer, and the answer."""
    begin = time.perf_counter()
    await socket.send('{"type":"generate","incremental":false}')
    while True:
        # As bytes, to exclude the client's decoding.
        text = await socket.recv(decode=False)
        seconds = time.perf_counter() - begin
        if len(text) > 1 << 16:
            return seconds, text
        message = json.loads(text)
        if message["type"] != "progress":
            sys.exit(f"error: the server answered {message}")


async def ping_for_ever(socket: ClientConnection) -> list[float]:
    """Ping until the task is cancelled; return the seconds of each ping."""
    seconds: list[float] = []
    try:
        while True:
            begin = time.perf_counter()
            await socket.send('{"type":"ping"}')
            await receive(socket, "pong")
            seconds.append(time.perf_counter() - begin)
            await asyncio.sleep(PING_INTERVAL)
    except asyncio.CancelledError:
        return seconds


async def finish(task: asyncio.Task[list[float]]) -> list[float]:
    """Cancel the task and return its pings."""
    try:
        return await task
    except asyncio.CancelledError:
        return []


async def receive(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Receive the next message, which must have this type."""
    message = json.loads(await socket.recv())
    if message["type"] != kind:
        sys.exit(f"error: expected {kind}, but the server sent {message}")
    return message


def _working(actor: dict[str, Any]) -> bool:
    """Whether an actor or one of its children is a busy worker or a queue with jobs."""
    busy = actor["kind"] == "worker" and actor["state"] != "idle"
    waiting = actor.get("queue_depth", 0) > 0
    return busy or waiting or any(_working(child) for child in actor["children"])


def until(condition: Any) -> None:
    """Wait for a condition; exit after a timeout."""
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("error: the server did not become ready")
        time.sleep(LOOK_INTERVAL)
