"""A client: its sessions, its dice, and what it checks in every answer."""

from __future__ import annotations

import asyncio
import random
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

from .content import Photos, image_message
from .tally import Tally
from .wire import ANSWER_TIMEOUT, Answer, Rest, Socket

LATE_SECONDS = 10.0
"""Longest wait for an answer that may have been lost with an earlier connection."""


@dataclass
class Client:
    """One client: whom it talks to, and its own dice."""

    base: str
    rest: Rest
    photos: Photos
    tally: Tally
    dice: random.Random
    side: int
    """`process_res` of its sessions."""
    sessions: set[str] = field(default_factory=set)
    """Those that it has created and not ended."""

    async def create(self, **parameters: Any) -> str:
        """A new session."""
        query = urllib.parse.urlencode({"process_res": self.side, **parameters})
        created = await self.rest.json("POST", f"/ws/session/create?{query}")
        session = str(created["session_id"])
        self.sessions.add(session)
        return session

    async def delete(self, session: str) -> None:
        """End a session."""
        self.sessions.discard(session)
        await self.rest.json("DELETE", f"/ws/session/{session}")

    async def connect(self, session: str, query: str = "") -> Socket:
        """A connection to the session."""
        return await Socket.open(self.base, session, self.tally, query)

    async def upload(self, socket: Socket, first: int, count: int) -> None:
        """Send images, several at a time."""

        async def one(index: int) -> None:
            photo = self.photos.take(self.dice, index)
            as_binary = self.dice.random() < 0.5
            self.expect(
                await socket.image(lambda name: image_message(photo, name, as_binary=as_binary)),
                "ack",
            )

        await asyncio.gather(*(one(index) for index in range(first, first + count)))

    def expect(self, answer: dict[str, Any], *kinds: str) -> None:
        """The answer must have one of these types."""
        if answer["type"] not in kinds:
            self.tally.surprise("other answer", f"{answer['type']}: {answer.get('message')}")

    async def fetch(self, session: str, formats: tuple[str, ...]) -> None:
        """Fetch the result in these formats: whole, a part of it, and only if it changed."""
        for name in formats:
            path = f"/ws/session/{session}/result?format={name}"
            status, headers, body = await self.rest.send("GET", path)
            # A few small photos may have no surface.
            if name.startswith("mesh_") and status == 422 and b"no_point_cloud" in body:
                continue
            self.status(f"result as {name}", status, 200, body)
            if status != 200 or len(body) < 20:
                continue
            begin = self.dice.randrange(len(body) - 10)
            part = {"Range": f"bytes={begin}-{begin + 9}", "If-Range": headers["ETag"]}
            status, _, found = await self.rest.send("GET", path, headers=part)
            if status != 206 or found != body[begin : begin + 10]:
                self.tally.surprise("range", f"{name}: {status}")
            same = {"If-None-Match": headers["ETag"]}
            status, _, found = await self.rest.send("GET", path, headers=same)
            self.status(f"unchanged result as {name}", status, 304, found)

    def status(self, what: str, found: int, expected: int, body: bytes) -> None:
        """A response must have this status."""
        if found != expected:
            self.tally.surprise("status", f"{what}: {found} {body[:200]!r}")

    async def resumed(self, session: str, socket: Socket, images: int) -> Answer | None:
        """The answer to a request of an earlier connection, after `connected` on a new one.

        It must come if the request still runs now. Otherwise it may have reached the machine of the
        client together with the end of the earlier connection.
        """
        state = await self.rest.json("GET", f"/ws/session/{session}")
        must_come = state["requests"] > 0
        self.tally.sent["resumed" if must_come else "resumed late"] += 1
        limit = ANSWER_TIMEOUT if must_come else LATE_SECONDS
        try:
            answer = await asyncio.wait_for(socket.resumed.get(), limit)
        except asyncio.TimeoutError:
            if must_come:
                self.tally.missing("resumed", f"update after {images} images")
            return None
        self.tally.answered["resumed" if must_come else "resumed late"] += 1
        return answer

    async def pause(self, seconds: float) -> None:
        """Wait for about so long."""
        await asyncio.sleep(seconds * (0.5 + self.dice.random()))
