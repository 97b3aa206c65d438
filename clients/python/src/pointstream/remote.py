"""What a session says over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import InvalidResponseError
from .events import Result
from .rest import Reply, Rest

# A result can be replaced between two requests for it.
TRIES = 3


class Remote:
    """One session at its addresses."""

    def __init__(self, rest: Rest, id: str, token: str | None, max_result_bytes: int) -> None:
        self.rest = rest
        self.id = id
        self.token = token
        self.max_result_bytes = max_result_bytes

    async def send(self, method: str, path: str = "", **options: Any) -> Reply:
        """Send a request to an address of the session."""
        return await self.rest.send(
            method, f"/ws/session/{self.id}{path}", token=self.token, **options
        )

    async def state(self) -> dict[str, Any]:
        """The state of the session."""
        return (await self.send("GET")).json()

    async def images(self) -> list[dict[str, Any]]:
        """The stored images."""
        images = (await self.send("GET", "/images")).json().get("images")
        if not isinstance(images, list):
            raise InvalidResponseError("the list of images is none")
        return images

    async def result(self, format: str) -> bytes:
        """The newest result in a format."""
        query = {"format": format}
        reply = await self.send("GET", "/result", query=query, longest=self.max_result_bytes)
        return reply.body

    async def download(self, format: str, target: Path) -> None:
        """Write the newest result to a file."""
        await self.send("GET", "/result", query={"format": format}, target=target)

    async def newest_result(self, id: str, path: str | None = None) -> Result:
        """The newest result as the answer to a request. `path` is what the server gave, if any."""
        own = f"/ws/session/{self.id}/result"
        below = self.rest.below(path) if path is not None else own
        for _ in range(TRIES):
            told = await self.rest.send("GET", below, token=self.token, query={"format": "json"})
            fields = told.json()
            glb = await self.rest.send(
                "GET", below, token=self.token, longest=self.max_result_bytes
            )
            try:
                if fields["metadata"]["glb_size_bytes"] == len(glb.body):
                    kind, count = fields["type"], fields["image_count"]
                    number = fields.get("number")
                    return Result(kind, count, fields["metadata"], glb.body, id, number)
            except (KeyError, TypeError) as error:
                raise InvalidResponseError(f"a result is incomplete ({error!r})") from error
        raise InvalidResponseError("the result was replaced again and again while it was fetched")
