"""Photos in, a file out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client import Client, ClientOptions
from .cloud import Cloud
from .engine import SocketOptions
from .errors import ImageRefusedError
from .events import Event, Quality, quality
from .images import ImageSource
from .parameters import SessionParameters
from .session import ResultFormat

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Reconstruction:
    """A final result."""

    # The file in this format.
    data: bytes = field(repr=False)
    format: ResultFormat
    metadata: dict[str, Any] = field(repr=False)
    glb: bytes = field(repr=False)

    @property
    def quality(self) -> Quality:
        """Whether it can be relied on. A result whose verdict is `failed` has no points."""
        return quality(self.metadata)

    def cloud(self) -> Cloud:
        """Points and cameras as arrays."""
        return Cloud.from_glb(self.glb)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file."""
        target = Path(path)
        target.write_bytes(self.data)
        return target


async def reconstruct(
    paths: Sequence[ImageSource],
    *,
    url: str,
    token: str | None = None,
    format: ResultFormat = "glb",
    on_event: Callable[[Event], None] | None = None,
    options: ClientOptions | None = None,
    **parameters: Unpack[SessionParameters],
) -> Reconstruction:
    """Reconstruct photos. Raises ImageRefusedError if one cannot be used.

    It uses a session, not `POST /reconstruct`: a lost connection costs nothing then, and the answer
    has all metadata. As with that request, all photos are reconstructed together unless
    `finalize_mode` says otherwise.
    """
    chosen: SessionParameters = {
        "max_images": max(len(paths), 1),
        "finalize_mode": "whole",
        **parameters,
    }
    socket = SocketOptions(deltas="cumulative", on_event=on_event)
    async with (
        Client(url, token, options=options) as client,
        client.session(options=socket, **chosen) as session,
    ):
        for answer in await session.upload_many(paths):
            if isinstance(answer, ImageRefusedError):
                raise answer
        result = await session.finalize()
        data = result.glb if format == "glb" else await session.result(format)
        return Reconstruction(data, format, result.metadata, result.glb)
