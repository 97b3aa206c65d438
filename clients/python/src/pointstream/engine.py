"""Keeps a session connected: reads answers, reconnects, and sends again what was lost."""

from __future__ import annotations

import asyncio
import json
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from .cloud import Cloud
from .connection import Wire, closing, open_socket, passes
from .errors import ClosedError, ConnectionLostError, PointstreamError, server_error
from .events import Ack, Connected, Disconnected, Event, Poses, Progress, Refused, Result, parse
from .outbox import Outbox, Pending
from .recovery import recover
from .remote import Remote
from .retry import Retry
from .subscription import Subscription
from .wire import Message, decode

# Seconds after which an idle connection counts as one that works.
CALM = 60.0


@dataclass(frozen=True)
class SocketOptions:
    """How a session is used over its socket."""

    # Images and results as bytes: a quarter smaller than in JSON, and less work for both sides.
    binary: bool = True
    # `append`: each update has only what is new, and `Session.cloud` grows by it. `cumulative`:
    # each has the whole cloud.
    deltas: Literal["append", "cumulative"] = "append"
    # Images that are sent and not acknowledged; they are in memory. The server takes 16.
    max_in_flight: int = 8
    # Called for each event, in the loop of the session. It must not block.
    on_event: Callable[[Event], None] | None = None
    # Bytes of a message of the server. A larger whole result is fetched over HTTP; of a larger
    # update `generate` raises ResultTooLargeError.
    max_message_bytes: int = 256 << 20


class Engine:
    """The connected part of a session."""

    def __init__(
        self, wire: Wire, retry: Retry, remote: Remote, options: SocketOptions, cloud: Cloud
    ) -> None:
        self.wire = wire
        self.retry = retry
        self.remote = remote
        self.options = options
        self.cloud = cloud
        self.outbox = Outbox(options.max_in_flight)
        # Those that nobody iterates over any more vanish.
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        # Keeps the order of messages, also against those that are sent again.
        self._sending = asyncio.Lock()
        self._socket: ClientConnection | None = None
        self._pongs: deque[asyncio.Future[None]] = deque()
        self._attempts = 0
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, resume: bool) -> None:
        """Connect for the first time."""
        socket = await self._open(resume=resume, reason=None)
        self._socket = socket
        self._task = asyncio.create_task(self._run(socket))

    async def stop(self) -> None:
        """Disconnect; who still waits for an answer gets an error."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(ClosedError("the session was left; enter it again with client.attach()"))

    def check(self) -> None:
        """Raise the error with which the session ended."""
        if self._error is not None:
            raise self._error
        if self._task is None:
            raise ClosedError("enter the session first: `async with client.session() as session`")

    def subscribe(self) -> Subscription:
        """Events from now on."""
        self.check()
        subscription = Subscription()
        self._subscriptions.add(subscription)
        return subscription

    async def post(self, pending: Pending) -> None:
        """Send a message. If the connection is lost, it is sent with the next one."""
        added = False
        try:
            async with self._sending:
                self.check()
                self.outbox.add(pending)
                added = True
                if self._socket is not None:
                    with suppress(ConnectionClosed):
                        await self._socket.send(pending.encode(self.options.binary))
        finally:
            if not added and pending.kind == "image":
                self.outbox.release()

    async def cancel(self, request: Pending) -> None:
        """End a request; its answer is an error."""
        request.cancelled = True
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(request.cancel())

    async def ping(self, socket: ClientConnection) -> None:
        """Wait until the server has answered everything that it had answered before."""
        answer = asyncio.get_running_loop().create_future()
        self._pongs.append(answer)
        await socket.send(json.dumps({"type": "ping"}))
        await answer

    async def _run(self, socket: ClientConnection) -> None:
        again = False
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    await self._serve(socket, again)
                    raise AssertionError("reading ends with an error")
                except ConnectionClosed as closed:
                    reason: BaseException = closing(closed)
                except PointstreamError as error:
                    reason = error
                if not passes(reason):
                    raise reason
                lived = asyncio.get_running_loop().time() - began
                if len(self.outbox) == 0 and lived > CALM:
                    self._attempts = 0
                socket = await self._open(resume=True, reason=reason)
                again = True
        except Exception as error:
            self._fail(error)

    async def _open(self, *, resume: bool, reason: BaseException | None) -> ClientConnection:
        while True:
            if reason is not None:
                self._attempts += 1
                wanted = getattr(reason, "retry_after", None)
                delay = self.retry.delay(self._attempts, wanted)
                if delay is None:
                    raise ConnectionLostError(
                        f"the connection is lost and could not be restored ({reason}); session "
                        f"{self.remote.id} goes on: client.attach() takes it up again"
                    ) from reason
                self._emit(Disconnected(str(reason), self._attempts, delay))
                await asyncio.sleep(delay)
            try:
                socket, greeting = await open_socket(
                    self.wire, self._query(resume), self.remote.token
                )
            except PointstreamError as error:
                if not passes(error):
                    raise
                reason = error
                continue
            self._emit(
                Connected(
                    self.remote.id,
                    int(greeting.get("image_count", 0)),
                    int(greeting.get("max_images", 0)),
                    resume,
                )
            )
            return socket

    def _query(self, resume: bool) -> Mapping[str, str]:
        query = {"binary": "true"} if self.options.binary else {}
        if self.options.deltas == "append":
            query["deltas"] = "append"
            if self.cloud.number is not None:
                query["since"] = str(self.cloud.number)
        if resume:
            query["resume"] = "true"
        return query

    async def _serve(self, socket: ClientConnection, again: bool) -> None:
        reader = asyncio.create_task(self._read(socket))
        tasks = [reader]
        try:
            if again:
                tasks.append(asyncio.create_task(self._restore(socket)))
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            self._socket = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pongs.clear()
            await socket.close()

    async def _restore(self, socket: ClientConnection) -> None:
        async with self._sending:
            wait = await recover(self, socket)
            self._socket = socket
        await wait()

    async def _read(self, socket: ClientConnection) -> None:
        while True:
            received = await socket.recv()
            # A large result must not stop the loop while it is decoded.
            large = len(received) > 1 << 20
            message = await asyncio.to_thread(decode, received) if large else decode(received)
            await self._take(socket, message)

    async def _take(self, socket: ClientConnection, message: Message) -> None:
        if message["type"] == "pong":
            if self._pongs and not (pong := self._pongs.popleft()).done():
                pong.set_result(None)
            return
        if message["type"] == "error":
            await self._refused(message)
            return
        event = parse(message)
        if isinstance(event, Result):
            await self.deliver(event, socket)
        elif isinstance(event, Ack | Progress | Poses):
            self.answered(event)

    def answered(self, event: Ack | Progress | Poses | Result) -> None:
        """Give an answer to who waits for it."""
        if not isinstance(event, Progress):
            self._attempts = 0
            if (pending := self.outbox.get(event.id)) is not None:
                self.outbox.resolve(pending, event)
        self._emit(event)

    async def deliver(self, result: Result, socket: ClientConnection | None) -> None:
        """Apply a result, confirm it, and give it to who asked."""
        append = result.metadata.get("append")
        if append is not None:
            # One that was lost after it was applied comes again.
            newest = self.cloud.number
            if newest is None or append["number"] > newest:
                self.cloud.apply(append, result.glb)
        if result.number is not None and socket is not None:
            with suppress(ConnectionClosed):
                await socket.send(json.dumps({"type": "received", "number": result.number}))
        self.answered(result)

    async def _refused(self, message: Message) -> None:
        error = server_error(
            str(message.get("message", "")),
            code=message.get("code"),
            filename=message.get("filename"),
            result_url=message.get("result_url"),
        )
        pending = self.outbox.get(message.get("id"))
        # `cancel` names the request as well: its error does not answer the request.
        if pending is not None and error.code != "nothing_to_cancel":
            self._attempts = 0
            # A whole result in place of an update would leave the cloud behind without a word.
            update = self.options.deltas == "append" and pending.header.get("incremental")
            if error.result_url is not None and not update:
                await self.fetch(pending, error.result_url)
                return
            self.outbox.reject(pending, error)
        self._emit(Refused(error, message.get("id")))

    async def fetch(self, pending: Pending, path: str | None = None) -> None:
        """Take the newest result over HTTP as the answer to a request."""
        try:
            result = await self.remote.newest_result(pending.id, path)
        except PointstreamError as error:
            self.outbox.reject(pending, error)
            return
        await self.deliver(result, None)

    def _emit(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.add(event)
        if self.options.on_event is not None:
            self.options.on_event(event)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        for pending in self.outbox.all():
            self.outbox.reject(pending, error)
        ended = None if isinstance(error, ClosedError) else error
        for subscription in self._subscriptions:
            subscription.end(ended)
