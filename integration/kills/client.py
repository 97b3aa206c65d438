"""A client that streams for ever, keeps what the server has promised, and checks it at the end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import random
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

PARAMETERS = "max_images=1000&process_res=56&num_max_points=2000"
# A generate follows so many images on average.
IMAGES_PER_REQUEST = 4
CONNECTION_LOST = (OSError, WebSocketException, EOFError, TimeoutError)
PATIENCE = 60.0
# The session has as many requests as it may have, or the server takes none any more.
REFUSALS = {"session_busy", "shutting_down"}
BUSY_DELAY = 0.2
# The status of a server that cannot tell now.
BUSY = 503
FINAL = "request-final"
# The identifier of an image begins with it; the requests before it follow.
AFTER = "after"
# The server has the final request already: the client was not told before the connection was lost.
IS_FINAL = "session_completed"


@dataclass
class Promises:
    """What the server has promised a client."""

    acknowledged: list[str] = field(default_factory=list)
    """Names of the images, in the order of their acknowledgements."""
    accepted: list[str] = field(default_factory=list)
    """Requests that the server has: an image that was sent after them was acknowledged."""
    answered: list[str] = field(default_factory=list)
    """Requests with a result, as often as it came."""
    failed: list[str] = field(default_factory=list)
    """Requests that got an error in place of a result, with its code and message."""


@dataclass
class Loss:
    """What was promised and is not there."""

    images: list[str]
    """Names of images that are not there, or are not what was sent."""
    answers: list[str]
    failed: list[str]
    """Requests that got an error in place of a result, with its code and message."""
    has_final: bool
    """Whether the final result has come."""
    repeated: int
    """Answers that came more than once: the client did not confirm them before the kill."""


class StreamingClient:
    """Streams images to one session, across kills of the server."""

    def __init__(self, bases: list[str], seed: int) -> None:
        """`bases` are the addresses of servers, of which any takes any request."""
        self.bases = bases
        self.random = random.Random(seed)
        self.session = ""
        self.sent = 0
        self.finalizes = False
        """Whether it has sent its last image, and asks for the final result."""
        self.digests: dict[str, str] = {}
        """Of each image that was sent, by its name."""
        self.promises = Promises()
        self.pending_images: list[str] = []
        self.asked: list[str] = []
        """Requests without evidence that the server has them."""

    def create(self) -> None:
        """Create the session."""
        created = json.loads(self._ask("POST", f"/ws/session/create?{PARAMETERS}"))
        self.session = created["session_id"]

    def _ask(self, method: str, path: str) -> bytes:
        """Ask one of the servers; another one if it is not there or cannot tell now."""
        end = time.monotonic() + PATIENCE
        while True:
            url = f"{self.random.choice(self.bases)}{path}"
            request = urllib.request.Request(url, method=method)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                    body: bytes = response.read()
                    return body
            except urllib.error.HTTPError as error:
                if error.code != BUSY or time.monotonic() > end:
                    raise
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(BUSY_DELAY)

    async def stream(self, stop: asyncio.Event) -> None:
        """Send and receive until `stop`; connect again whenever the connection is lost."""
        while not stop.is_set():
            try:
                async with self._connect() as socket:
                    await self._talk(socket, stop)
            except CONNECTION_LOST:
                await asyncio.sleep(0.05)

    def _connect(self) -> Any:
        address = self.random.choice(self.bases).replace("http", "ws", 1)
        url = f"{address}/ws/reconstruct/{self.session}?resume=true"
        return connect(url, max_size=None, compression=None, open_timeout=PATIENCE)

    async def _talk(self, socket: ClientConnection, stop: asyncio.Event) -> None:
        # What was not acknowledged on the last connection may be lost, and is not sent again.
        self.pending_images.clear()
        self.asked.clear()
        reading = asyncio.create_task(self._read(socket))
        try:
            while not stop.is_set() and not reading.done():
                # Without an image there is nothing to finalize.
                if not (self.finalizes and self.promises.acknowledged):
                    await self._send(socket)
                elif FINAL not in [*self.asked, *self.promises.accepted]:
                    await socket.send(json.dumps({"type": "finalize", "id": FINAL}))
                    self.asked.append(FINAL)
                await asyncio.sleep(self.random.uniform(0.0, 0.1))
        finally:
            # The library has confirmed what it has received, so all of it has to be read.
            await socket.close()
            await asyncio.gather(reading, return_exceptions=True)

    async def _send(self, socket: ClientConnection) -> None:
        self.sent += 1
        if self.random.random() * (IMAGES_PER_REQUEST + 1) < 1 and self.promises.acknowledged:
            name = f"request-{self.sent}"
            message = {"type": "generate", "incremental": True, "id": name}
            await socket.send(json.dumps(message))
            self.asked.append(name)
            return
        name = f"image-{self.sent}"
        picture = self._picture()
        self.digests[name] = hashlib.sha256(picture).hexdigest()
        data = base64.b64encode(picture).decode()
        self.pending_images.append(name)
        message = {"type": "image", "data": data, "filename": name}
        message["id"] = ",".join([AFTER, *self.asked])
        await socket.send(json.dumps(message))

    def _picture(self) -> bytes:
        noise = np.frombuffer(self.random.randbytes(8 * 8 * 3), dtype=np.uint8)
        picture = Image.fromarray(noise.reshape(8, 8, 3)).resize((56, 42))
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()

    async def _read(self, socket: ClientConnection) -> None:
        async for text in socket:
            self._note(json.loads(text))

    def _note(self, message: dict[str, Any]) -> None:
        promises = self.promises
        if message["type"] == "ack":
            promises.acknowledged.append(message["image_path"])
            # The server takes messages in their order, and records them in it.
            for request in message["id"].split(",")[1:]:
                if request in self.asked:
                    self.asked.remove(request)
                    promises.accepted.append(request)
        elif message["type"] == "progress" and message.get("id") == FINAL:
            # The server says so of no request that it does not have.
            self._accept_final()
        elif message["type"] in {"delta", "complete"}:
            promises.answered.append(message["id"])
        elif message["type"] == "error" and str(message.get("id", "")).startswith("request-"):
            if message["id"] == FINAL and message["code"] == IS_FINAL:
                self._accept_final()
            # Nothing was promised of a request that the server refused at once.
            elif message["id"] == FINAL and message["code"] in REFUSALS:
                self.promises.accepted = [one for one in promises.accepted if one != FINAL]
                self.asked = [one for one in self.asked if one != FINAL]
            elif message["id"] in self.asked and message["code"] in REFUSALS:
                self.asked.remove(message["id"])
            else:
                promises.failed.append(json.dumps(message))
                promises.answered.append(message["id"])

    def _accept_final(self) -> None:
        if FINAL not in self.promises.accepted:
            self.promises.accepted.append(FINAL)

    async def collect(self) -> None:
        """Ask for the final result if the server does not have that request; receive the answers
        that are due. Gives up when nothing comes and nothing is at work."""
        async with self._connect() as socket:
            while True:
                await self._ask_for_final(socket)
                if not set(self.promises.accepted) - set(self.promises.answered):
                    return
                try:
                    message = await asyncio.wait_for(socket.recv(), PATIENCE)
                except TimeoutError:
                    if await asyncio.to_thread(self._is_at_work):
                        continue
                    raise
                self._note(json.loads(message))

    async def _ask_for_final(self, socket: ClientConnection) -> None:
        """If it is due and the server does not have that request; it refuses one too many."""
        is_missing = FINAL not in self.promises.accepted
        if self.finalizes and self.promises.acknowledged and is_missing:
            await asyncio.sleep(BUSY_DELAY)
            await socket.send(json.dumps({"type": "finalize", "id": FINAL}))
            self._accept_final()

    def missing(self) -> str:
        """The session and its requests whose answers have not come."""
        missing = set(self.promises.accepted) - set(self.promises.answered)
        return f"{self.session} {sorted(missing)}"

    def _is_at_work(self) -> bool:
        requests: int = json.loads(self._ask("GET", f"/ws/session/{self.session}"))["requests"]
        return requests > 0

    def files(self) -> set[str]:
        """Digests of the images that the servers have."""
        return {
            hashlib.sha256(self._ask("GET", f"{self._images()}/{index}")).hexdigest()
            for index in range(len(self._stored()))
        }

    def _images(self) -> str:
        return f"/ws/session/{self.session}/images"

    def _stored(self) -> list[str]:
        """Names of the images that the servers have."""
        return [
            image["image_path"] for image in json.loads(self._ask("GET", self._images()))["images"]
        ]

    def loss(self, files: set[str]) -> Loss:
        """Compare what was promised with what the server has. `files`: digests of the session's
        files."""
        stored = self._stored()
        promises = self.promises
        there = set(stored)
        if len(there) != len(stored):
            raise AssertionError("an image is there twice")
        in_order = [name for name in stored if name in set(promises.acknowledged)]
        acknowledged = [name for name in promises.acknowledged if name in there]
        if in_order != acknowledged:
            raise AssertionError("the images are not in the order of their acknowledgements")
        answered = set(promises.answered)
        return Loss(
            images=[
                name
                for name in promises.acknowledged
                if name not in there or self.digests[name] not in files
            ],
            answers=[name for name in promises.accepted if name not in answered],
            failed=promises.failed,
            has_final=FINAL in answered,
            repeated=len(promises.answered) - len(answered),
        )

    def delete(self) -> None:
        """End the session."""
        try:
            self._ask("DELETE", f"/ws/session/{self.session}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
