"""Finds out what a lost connection has cost, and sends that again.

Messages of a connection arrive in their order, and each has an identifier of its own. The server
lists the identifiers of stored images, and resends answers that were not confirmed. So an image
that it has is not sent again, and a request that it has is not made twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection

from .errors import InvalidResponseError, UnreachableError, server_error
from .events import Ack
from .outbox import Pending

if TYPE_CHECKING:
    from .engine import Engine

# Seconds between two looks at the session: the first, and the most.
SOON, LATE = 0.1, 5.0


async def recover(engine: Engine, socket: ClientConnection) -> Callable[[], Awaitable[None]]:
    """Send again what was lost. Returns what has to go on after that, beside other messages."""
    if engine.outbox.all("image"):
        await _find_images(engine)
    running = False
    completed = False
    if engine.outbox.all("request"):
        # Before the ping: an answer that is sent in between precedes the pong.
        state = await engine.remote.state()
        running = _is_running(state)
        completed = state.get("status") == "completed"
        await engine.ping(socket)
    followed: Pending | None = None
    for pending in engine.outbox.all():
        if pending.kind != "request":
            await socket.send(pending.encode(engine.options.binary))
        elif pending.cancelled:
            # It may run, or may not have arrived.
            await socket.send(pending.cancel())
            error = server_error("the request was cancelled", code="cancelled")
            engine.outbox.reject(pending, error)
        elif running:
            followed = pending
        else:
            await _request_again(engine, socket, pending, completed)

    async def follow() -> None:
        if followed is not None:
            await _follow(engine, socket, followed)

    return follow


async def _request_again(
    engine: Engine, socket: ClientConnection, pending: Pending, completed: bool
) -> None:
    """Make a request that did not arrive."""
    if completed and pending.header["type"] == "finalize":
        # It did arrive, and its answer is not kept any more.
        await engine.fetch(pending)
        return
    await socket.send(pending.encode(engine.options.binary))


async def _follow(engine: Engine, socket: ClientConnection, pending: Pending) -> None:
    """Make the request if what runs was not it, but one of another client."""
    delay = SOON
    while pending in engine.outbox:
        await asyncio.sleep(delay)
        delay = min(2 * delay, LATE)
        state = await engine.remote.state()
        if _is_running(state):
            continue
        await engine.ping(socket)
        if pending in engine.outbox:
            completed = state.get("status") == "completed"
            await _request_again(engine, socket, pending, completed)
        return


def _is_running(state: dict[str, Any]) -> bool:
    """Whether a request runs, or its result is being stored."""
    return state.get("status") == "processing" or state.get("requests", 0) > 0


async def _find_images(engine: Engine) -> None:
    """Acknowledge the images that the server has."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + engine.wire.timeout
    delay = SOON
    while True:
        # Before the list: what is pending now is in it, or is looked for again.
        pending_images = (await engine.remote.state()).get("pending_images", 0)
        stored = {image.get("id"): image for image in await engine.remote.images()}
        for pending in engine.outbox.all("image"):
            if (image := stored.get(pending.id)) is not None:
                try:
                    ack = Ack(image["index"] + 1, image["image_path"], pending.id)
                except (KeyError, TypeError) as error:
                    raise InvalidResponseError("the list of images is incomplete") from error
                engine.answered(ack)
        if pending_images == 0 or not engine.outbox.all("image"):
            return
        if loop.time() > deadline:
            raise UnreachableError("the server does not finish storing images")
        await asyncio.sleep(delay)
        delay = min(2 * delay, LATE)
