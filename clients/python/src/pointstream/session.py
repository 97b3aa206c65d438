"""A reconstruction on the server, while photos are streamed to it."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .cloud import Cloud
from .engine import Engine, SocketOptions
from .errors import (
    ClosedError,
    ImageRefusedError,
    PointstreamError,
    SessionEndedError,
    SessionNotFoundError,
)
from .events import Ack, Poses, Result
from .images import ImageSource, as_image
from .outbox import Pending
from .parameters import SessionParameters, Webhook
from .remote import Remote
from .subscription import Subscription

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .client import Client

ResultFormat: TypeAlias = Literal[
    "glb",
    "ply",
    "colmap",
    "colmap_original",
    "npz",
    "nerfstudio",
    "nerfstudio_original",
    "las",
    "laz",
    "e57",
    "xyz",
    "csv",
    "mesh_glb",
    "mesh_ply",
    "mesh_obj",
    "html",
    "json",
]

# The formats of results, by the extensions of files. The first that fits counts.
FORMATS: dict[str, ResultFormat] = {
    ".original.colmap.zip": "colmap_original",
    ".original.nerfstudio.zip": "nerfstudio_original",
    ".mesh.glb": "mesh_glb",
    ".mesh.ply": "mesh_ply",
    ".obj": "mesh_obj",
    ".glb": "glb",
    ".ply": "ply",
    ".npz": "npz",
    ".colmap.zip": "colmap",
    ".nerfstudio.zip": "nerfstudio",
    ".las": "las",
    ".laz": "laz",
    ".e57": "e57",
    ".xyz": "xyz",
    ".csv": "csv",
    ".html": "html",
    ".json": "json",
}


@dataclass(frozen=True)
class Opened:
    """A session that exists on the server."""

    engine: Engine
    webhook_secret: str | None
    max_image_bytes: int | None
    # Whether it is connected in place of an earlier connection.
    resume: bool


class Session:
    """One session. `Client.session`, `Client.attach` and `rerun` give it; `async with` enters it.

    Several tasks may use it together. Requests for point clouds wait for each other.
    """

    def __init__(
        self, client: Client, opening: Callable[[], Awaitable[Opened]], *, keep: bool
    ) -> None:
        self._client = client
        self._opening = opening
        self._opened: Opened | None = None
        self._keep = keep
        self._requesting = asyncio.Lock()

    @property
    def _engine(self) -> Engine:
        if self._opened is None:
            raise ClosedError("enter the session first: `async with client.session() as session`")
        return self._opened.engine

    @property
    def _remote(self) -> Remote:
        return self._engine.remote

    @property
    def id(self) -> str:
        """The identifier of the session."""
        return self._remote.id

    @property
    def token(self) -> str | None:
        """The token for this session alone if there is one, else that of the client."""
        return self._remote.token

    @property
    def webhook_secret(self) -> str | None:
        """The secret that the server has made for the webhook. It is not told again."""
        self._engine.check()
        return self._opened.webhook_secret if self._opened else None

    @property
    def cloud(self) -> Cloud:
        """What the updates of a session with `deltas="append"` have made; else it stays empty."""
        return self._engine.cloud

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise ClosedError("a session is entered once; client.attach() takes it up again")
        self._opened = await self._opening()
        try:
            await self._engine.start(self._opened.resume)
        except BaseException as error:
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._engine.stop()
        if self._keep:
            return
        try:
            await self.delete()
        except (SessionNotFoundError, SessionEndedError):
            pass
        except PointstreamError:
            # The error of the caller says more. A session that nobody uses expires.
            if error is None:
                raise

    async def upload(self, image: ImageSource) -> Ack:
        """Send an image, and wait until it is stored. ImageRefusedError: it cannot be used.

        At most `max_in_flight` images are sent and not acknowledged; others wait here.
        """
        return await asyncio.shield(await self._send_image(image))

    async def upload_many(self, images: Iterable[ImageSource]) -> list[Ack | ImageRefusedError]:
        """Send images one after another without waiting for each acknowledgement.

        The files are read when they are sent, so memory is bounded by `max_in_flight` of them. The
        list has an acknowledgement or a refusal for each image, in their order.
        """
        sent: list[asyncio.Future[Ack] | ImageRefusedError] = []
        for image in images:
            try:
                sent.append(await self._send_image(image))
            except ImageRefusedError as error:
                sent.append(error)
        answers: list[Ack | ImageRefusedError] = []
        for answer in sent:
            try:
                answers.append(
                    answer
                    if isinstance(answer, ImageRefusedError)
                    else await asyncio.shield(answer)
                )
            except ImageRefusedError as error:
                answers.append(error)
        return answers

    async def _send_image(self, source: ImageSource) -> asyncio.Future[Ack]:
        image = as_image(source)
        header: dict[str, Any] = {"type": "image"}
        if image.label is not None:
            header["filename"] = image.label
        if image.camera is not None:
            header.update(image.camera.fields())
        self._engine.check()
        await self._engine.outbox.slot()
        try:
            data = await asyncio.to_thread(image.read)
            self._check_size(data, image.label)
            pending = self._pending("image", header, data)
        except BaseException:
            self._engine.outbox.release()
            raise
        await self._engine.post(pending)
        # Not the message: whoever keeps the answer must not keep the file.
        return pending.answer

    def _check_size(self, data: bytes, name: str | None) -> None:
        # The server would close the connection, and the image would be sent again for nothing.
        longest = self._opened.max_image_bytes if self._opened else None
        if longest is not None and len(data) > longest:
            raise ImageRefusedError(
                f"the image has {len(data)} bytes, more than the {longest} that the server takes",
                code="image_too_large",
                filename=name,
            )

    def _pending(self, kind: Any, header: dict[str, Any], data: bytes = b"") -> Pending:
        header["id"] = uuid.uuid4().hex
        answer = asyncio.get_running_loop().create_future()
        return Pending(header["id"], kind, header, data, answer)

    async def generate(self, *, incremental: bool = True) -> Result:
        """Ask for the point cloud of all images so far, and wait for it.

        With `incremental=False` the answer is a `complete`, and the session goes on all the same.
        """
        return await self._request({"type": "generate", "incremental": incremental})

    async def finalize(self) -> Result:
        """Ask for the final point cloud, and wait for it. It completes the session."""
        return await self._request({"type": "finalize"})

    async def _request(self, header: dict[str, Any]) -> Result:
        # One at a time: after a loss it is known then whether the server has it.
        async with self._requesting:
            self._engine.check()
            pending = self._pending("request", header)
            try:
                await self._engine.post(pending)
                return await asyncio.shield(pending.answer)
            except asyncio.CancelledError:
                # Nobody waits for it any more, so the server need not compute it.
                if pending in self._engine.outbox:
                    await self._engine.cancel(pending)
                raise

    async def cancel(self) -> bool:
        """End the request that runs: its `generate` or `finalize` raises RequestCancelledError.

        Returns whether there was one.
        """
        self._engine.check()
        requests = self._engine.outbox.all("request")
        for pending in requests:
            await self._engine.cancel(pending)
        return bool(requests)

    async def cancel_all(self) -> None:
        """End all requests of the session, those of other clients too."""
        await self._remote.send("DELETE", "/generation")

    async def map(self) -> Poses:
        """Where each frame is now."""
        self._engine.check()
        pending = self._pending("map", {"type": "map"})
        await self._engine.post(pending)
        return await asyncio.shield(pending.answer)

    def events(self) -> Subscription:
        """What happens from now on: `async for event in session.events()`.

        It ends when the session is left, and raises the error with which the session ends.
        """
        return self._engine.subscribe()

    async def state(self) -> dict[str, Any]:
        """The state of the session, as docs/protocol.md describes it."""
        return await self._remote.state()

    async def images(self) -> list[dict[str, Any]]:
        """The stored images: index, id, name and processed size."""
        return await self._remote.images()

    async def image(self, index: int) -> bytes:
        """An image as it was sent."""
        return (await self._remote.send("GET", f"/images/{index}")).body

    async def thumbnail(self, index: int) -> bytes:
        """A small JPEG of an image."""
        return (await self._remote.send("GET", f"/images/{index}/thumbnail")).body

    async def result(self, format: ResultFormat = "glb") -> bytes:
        """The newest result as a file in one of the formats of `ResultFormat`."""
        return await self._remote.result(format)

    async def download(
        self, path: str | os.PathLike[str], format: ResultFormat | None = None
    ) -> Path:
        """Write the newest result to a file, by default in the format of its extension.

        The file is not read into memory, and an existing one is replaced only by a whole one.
        """
        target = Path(path)
        await self._remote.download(format or format_of(target), target)
        return target

    async def reopen(self) -> None:
        """Let a completed session take images and requests again, in the same coordinates."""
        await self._remote.send("POST", "/reopen")

    async def watch_token(self) -> str | None:
        """A token with which others watch this session; none if the server asks nobody for one."""
        made = (await self._remote.send("POST", "/watch-token")).json()
        token = made.get("watch_token")
        return token if isinstance(token, str) else None

    def rerun(
        self,
        *,
        webhook: Webhook | None = None,
        options: SocketOptions | None = None,
        keep: bool = False,
        **parameters: Unpack[SessionParameters],
    ) -> Session:
        """A new session with the images of this one, which are not sent again.

        Parameters that are missing are as in this session. `async with` makes it.
        """
        return self._client._new(f"/ws/session/{self.id}/rerun", webhook, options, keep, parameters)

    async def delete(self) -> None:
        """End the session on the server, and remove its files."""
        await self._remote.send("DELETE")


def format_of(path: Path) -> ResultFormat:
    """The format that the extension of a file names."""
    for extension, format in FORMATS.items():
        if path.name.lower().endswith(extension):
            return format
    raise ValueError(f"{path.name} has none of the extensions {', '.join(FORMATS)}: pass format=")
