"""The same client without `async`: each call waits.

The work is done by the asynchronous client, in a thread with a loop of its own. Several threads may
use a session together. Callbacks are called in that thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import client as aio
from . import session as aio_session
from .client import ClientOptions
from .cloud import Cloud
from .engine import SocketOptions
from .errors import ClosedError, ImageRefusedError
from .events import Ack, Event, Poses, Result
from .images import ImageSource
from .parameters import SessionParameters, Webhook
from .reconstruct import Reconstruction
from .reconstruct import reconstruct as aio_reconstruct
from .session import ResultFormat
from .subscription import Subscription

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")

__all__ = ["Client", "Session", "reconstruct"]


class _Loop:
    """A loop in a thread. A program that ends does not wait for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pointstream", daemon=True
        )
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; cancel it if the wait is interrupted."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop and its thread."""
        self.run(self._end_tasks())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end_tasks(self) -> None:
        """End what sessions that were not left still do."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Client:
    """A server: see `pointstream.Client`."""

    def __init__(
        self, url: str, token: str | None = None, *, options: ClientOptions | None = None
    ) -> None:
        self._inner = aio.Client(url, token, options=options)
        self._loop: _Loop | None = None

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            coroutine.close()
            raise ClosedError("enter the client first: `with Client(url) as client`")
        return self._loop.run(coroutine)

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._inner.url

    def __enter__(self) -> Self:
        self._loop = _Loop()
        try:
            self._run(self._inner.__aenter__())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.stop()
            self._loop = None

    def info(self) -> dict[str, Any]:
        """Versions, model, devices and limits of the server."""
        return self._run(self._inner.info())

    def sessions(self) -> dict[str, Any]:
        """The caller's sessions, with statistics."""
        return self._run(self._inner.sessions())

    def session(
        self,
        *,
        webhook: Webhook | None = None,
        options: SocketOptions | None = None,
        keep: bool = False,
        **parameters: Unpack[SessionParameters],
    ) -> Session:
        """A new session. `with` creates it, and deletes it at the end unless `keep`."""
        inner = self._inner.session(webhook=webhook, options=options, keep=keep, **parameters)
        return Session(self, inner)

    def attach(
        self,
        session_id: str,
        *,
        token: str | None = None,
        cloud: Cloud | None = None,
        options: SocketOptions | None = None,
        resume: bool = True,
        keep: bool = True,
    ) -> Session:
        """A session that exists already: see `pointstream.Client.attach`."""
        inner = self._inner.attach(
            session_id, token=token, cloud=cloud, options=options, resume=resume, keep=keep
        )
        return Session(self, inner)


class Session:
    """A session: see `pointstream.Session`."""

    def __init__(self, client: Client, inner: aio_session.Session) -> None:
        self._client = client
        self._inner = inner

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._client._run(coroutine)

    def __enter__(self) -> Self:
        self._run(self._inner.__aenter__())
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._run(self._inner.__aexit__(kind, error, trace))

    @property
    def id(self) -> str:
        """The identifier of the session."""
        return self._inner.id

    @property
    def token(self) -> str | None:
        """The token for this session alone, or that of the client."""
        return self._inner.token

    @property
    def webhook_secret(self) -> str | None:
        """The secret that the server has made for the webhook."""
        return self._inner.webhook_secret

    @property
    def cloud(self) -> Cloud:
        """What updates have made."""
        return self._inner.cloud

    def upload(self, image: ImageSource) -> Ack:
        """Send an image, and wait until it is stored."""
        return self._run(self._inner.upload(image))

    def upload_many(self, images: Iterable[ImageSource]) -> list[Ack | ImageRefusedError]:
        """Send images without waiting for each acknowledgement."""
        return self._run(self._inner.upload_many(images))

    def generate(self, *, incremental: bool = True) -> Result:
        """Ask for the point cloud of all images so far, and wait for it."""
        return self._run(self._inner.generate(incremental=incremental))

    def finalize(self) -> Result:
        """Ask for the final point cloud, and wait for it."""
        return self._run(self._inner.finalize())

    def cancel(self) -> bool:
        """End the request for which another thread waits."""
        return self._run(self._inner.cancel())

    def cancel_all(self) -> None:
        """End all requests of the session."""
        self._run(self._inner.cancel_all())

    def map(self) -> Poses:
        """Where each frame is now."""
        return self._run(self._inner.map())

    def events(self) -> Iterator[Event]:
        """What happens from now on. Iterate in another thread than that which waits for results."""

        async def subscribe() -> Subscription:
            return self._inner.events()

        return self._iterate(self._run(subscribe()))

    def _iterate(self, subscription: Subscription) -> Iterator[Event]:
        async def following() -> Event | None:
            return await anext(subscription, None)

        while (event := self._run(following())) is not None:
            yield event

    def state(self) -> dict[str, Any]:
        """The state of the session."""
        return self._run(self._inner.state())

    def images(self) -> list[dict[str, Any]]:
        """The stored images."""
        return self._run(self._inner.images())

    def image(self, index: int) -> bytes:
        """An image as it was sent."""
        return self._run(self._inner.image(index))

    def thumbnail(self, index: int) -> bytes:
        """A small JPEG of an image."""
        return self._run(self._inner.thumbnail(index))

    def result(self, format: ResultFormat = "glb") -> bytes:
        """The newest result as a file."""
        return self._run(self._inner.result(format))

    def download(self, path: str | os.PathLike[str], format: ResultFormat | None = None) -> Path:
        """Write the newest result to a file."""
        return self._run(self._inner.download(path, format))

    def reopen(self) -> None:
        """Let a completed session take images and requests again."""
        self._run(self._inner.reopen())

    def watch_token(self) -> str | None:
        """A token with which others watch this session; none if the server asks nobody for one."""
        return self._run(self._inner.watch_token())

    def rerun(
        self,
        *,
        webhook: Webhook | None = None,
        options: SocketOptions | None = None,
        keep: bool = False,
        **parameters: Unpack[SessionParameters],
    ) -> Session:
        """A new session with the images of this one."""
        inner = self._inner.rerun(webhook=webhook, options=options, keep=keep, **parameters)
        return Session(self._client, inner)

    def delete(self) -> None:
        """End the session on the server."""
        self._run(self._inner.delete())


def reconstruct(
    paths: Sequence[ImageSource],
    *,
    url: str,
    token: str | None = None,
    format: ResultFormat = "glb",
    on_event: Callable[[Event], None] | None = None,
    options: ClientOptions | None = None,
    **parameters: Unpack[SessionParameters],
) -> Reconstruction:
    """Reconstruct photos, and wait for the result: see `pointstream.reconstruct`."""
    work = aio_reconstruct(
        paths, url=url, token=token, format=format, on_event=on_event, options=options, **parameters
    )
    loop = _Loop()
    try:
        return loop.run(work)
    finally:
        loop.stop()
