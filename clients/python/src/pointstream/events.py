"""What happens in a session, as typed events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .cloud import Cloud
from .errors import InvalidResponseError, ServerError
from .wire import Message


@dataclass(frozen=True)
class Quality:
    """Whether a result can be relied on, and if not, why and what to do."""

    # `good`, `partial`, `failed`, or a later addition.
    verdict: str
    reasons: list[str]
    # A sentence for each of the reasons.
    advice: list[str]
    # All images of the request, as docs/protocol.md describes them.
    frames: list[dict[str, Any]] = field(default_factory=list, repr=False)


@dataclass(frozen=True)
class Connected:
    """The session is connected, again if `resumed`."""

    session_id: str
    image_count: int
    max_images: int
    resumed: bool


@dataclass(frozen=True)
class Disconnected:
    """The connection was lost. Another attempt follows after `delay` seconds."""

    reason: str
    attempt: int
    delay: float


@dataclass(frozen=True)
class Ack:
    """An image is stored."""

    # Images of the session with this one.
    image_count: int
    image_path: str
    id: str


@dataclass(frozen=True)
class Progress:
    """A request goes on."""

    stage: str
    # From 0 to 1.
    progress: float
    message: str
    id: str | None


@dataclass(frozen=True)
class Result:
    """The answer to `generate` or `finalize`."""

    kind: Literal["delta", "complete"]
    image_count: int
    metadata: dict[str, Any] = field(repr=False)
    # The whole cloud; of a `delta` of a session with `deltas="append"` only what is new.
    glb: bytes = field(repr=False)
    id: str | None
    number: int | None

    @property
    def quality(self) -> Quality:
        """The verdict."""
        return quality(self.metadata)

    @property
    def is_update(self) -> bool:
        """Whether `glb` has only what is new."""
        return "append" in self.metadata

    def cloud(self) -> Cloud:
        """The points and cameras of a whole result; those of updates are in `Session.cloud`."""
        return Cloud.from_glb(self.glb)


@dataclass(frozen=True)
class Poses:
    """Where each frame is now."""

    # As docs/protocol.md describes them.
    frames: list[dict[str, Any]] = field(repr=False)
    processed_size: tuple[int, int] | None
    id: str | None


@dataclass(frozen=True)
class Refused:
    """The server answered with an error. The call that sent the message raises it, too."""

    error: ServerError
    id: str | None


Event: TypeAlias = Connected | Disconnected | Ack | Progress | Result | Poses | Refused


def quality(metadata: dict[str, Any]) -> Quality:
    """The verdict in the metadata of a result."""
    try:
        judged = metadata["quality"]
        return Quality(
            judged["verdict"], judged["reasons"], judged["advice"], judged.get("frames", [])
        )
    except (KeyError, TypeError) as error:
        raise InvalidResponseError(f"the result has no verdict ({error!r})") from error


def parse(message: Message) -> Event | None:
    """The event of a message; None for those that are none."""
    try:
        kind = message["type"]
        if kind == "ack":
            return Ack(message["image_count"], message["image_path"], message["id"])
        if kind == "progress":
            texts = message["stage"], float(message["progress"]), message["message"]
            return Progress(*texts, message.get("id"))
        if kind in ("delta", "complete"):
            return Result(
                kind,
                message["image_count"],
                message["metadata"],
                message["glb"],
                message.get("id"),
                message.get("number"),
            )
        if kind == "poses":
            size = message["processed_size"]
            return Poses(message["frames"], size and (size[0], size[1]), message.get("id"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidResponseError(f"a message of the server is incomplete ({error!r})") from error
    return None
