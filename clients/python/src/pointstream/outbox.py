"""What was sent and is not answered yet."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from .wire import Message, encode_image


@dataclass
class Pending:
    """A message that waits for its answer."""

    id: str
    kind: Literal["image", "request", "map"]
    header: Message
    # The file of an image. Of other messages nothing.
    data: bytes
    answer: asyncio.Future[Any] = field(repr=False)
    # Whether the request must not be made any more.
    cancelled: bool = False

    def encode(self, binary: bool) -> str | bytes:
        """The message as it is sent."""
        if self.kind == "image":
            return encode_image(self.header, self.data, binary)
        return json.dumps(self.header)

    def cancel(self) -> str:
        """The message that ends this request."""
        return json.dumps({"type": "cancel", "id": self.id})


class Outbox:
    """Messages in the order in which they were sent. At most `limit` of them are images."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError("at least one image must be allowed in flight")
        self._pending: dict[str, Pending] = {}
        self._slots = asyncio.Semaphore(limit)

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, pending: Pending) -> bool:
        return self._pending.get(pending.id) is pending

    def all(self, kind: str | None = None) -> list[Pending]:
        """Those of a kind, or all."""
        return [one for one in self._pending.values() if kind in (None, one.kind)]

    async def slot(self) -> None:
        """Wait until one more image may be in flight."""
        await self._slots.acquire()

    def release(self) -> None:
        """Give back a slot that no message took."""
        self._slots.release()

    def add(self, pending: Pending) -> None:
        """Add a message. An image has a slot already."""
        self._pending[pending.id] = pending

    def get(self, id: str | None) -> Pending | None:
        """The message of this identifier."""
        return self._pending.get(id) if id is not None else None

    def resolve(self, pending: Pending, answer: Any) -> None:
        """It was answered."""
        self._remove(pending)
        # Whoever waited may have given up.
        if not pending.answer.done():
            pending.answer.set_result(answer)

    def reject(self, pending: Pending, error: BaseException) -> None:
        """It was answered with an error, or never will be."""
        self._remove(pending)
        if not pending.answer.done():
            pending.answer.set_exception(error)
            # An error that nobody waits for any more is no defect of the program.
            pending.answer.exception()

    def _remove(self, pending: Pending) -> None:
        if self._pending.pop(pending.id, None) is not None and pending.kind == "image":
            self._slots.release()
