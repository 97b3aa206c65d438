"""Opens the socket of a session, and tells losses that pass from those that stay."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from .errors import (
    InvalidResponseError,
    PointstreamError,
    ServerError,
    UnreachableError,
    server_error,
)
from .rest import credentials, refusal_of
from .wire import Message, decode

# After these close codes a new connection meets the same again.
FINAL = (1002, 1003, 1007, 1009, 4401, 4403, 4404, 4408, 4410, 4422)
# These statuses of a handshake pass.
PASSING = (429, 500, 502, 503, 504)
# Seconds between pings of ours.
PING_INTERVAL = 20.0


@dataclass(frozen=True)
class Wire:
    """How sockets are opened."""

    address: str
    tls: ssl.SSLContext | None
    # Seconds for a handshake and the first message.
    timeout: float
    # Seconds for the answer to a ping. It comes after the image that is being sent.
    dead_after: float
    max_message_bytes: int


class _Connect(connect):
    """A redirect could carry the token to another host, so it is an error."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def open_socket(
    wire: Wire, query: Mapping[str, str], token: str | None
) -> tuple[ClientConnection, Message]:
    """Connect, and read `connected`. Raise a typed error; `passes` says whether it may pass."""
    address = wire.address
    if query:
        address += "?" + "&".join(f"{name}={value}" for name, value in query.items())
    options: dict[str, Any] = {"ssl": wire.tls} if wire.tls is not None else {}
    try:
        # Photos and quantised points do not get smaller by compression.
        socket = await _Connect(
            address,
            additional_headers=credentials(token),
            max_size=wire.max_message_bytes,
            # In frames, of which a result has many: one that was not taken yet does not pile up.
            max_queue=4,
            compression=None,
            open_timeout=wire.timeout,
            close_timeout=5,
            ping_interval=PING_INTERVAL,
            ping_timeout=wire.dead_after,
            **options,
        )
    except InvalidStatus as error:
        answer = error.response
        text = (answer.body or b"").decode(errors="replace")
        headers = {"Retry-After": answer.headers.get("Retry-After", "")}
        raise refusal_of(answer.status_code, headers, text, answer.reason_phrase) from error
    except (OSError, asyncio.TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise UnreachableError(f"cannot connect to {wire.address} ({error})") from error
    try:
        return socket, await _greeting(socket, wire.timeout)
    except BaseException:
        await socket.close()
        raise


async def _greeting(socket: ClientConnection, timeout: float) -> Message:
    try:
        message = decode(await asyncio.wait_for(socket.recv(), timeout))
        if message["type"] == "connected":
            return message
        if message["type"] == "error":
            # The close code, which says whether to try again, follows.
            await asyncio.wait_for(socket.wait_closed(), timeout)
            raise server_error(
                str(message.get("message", "")), code=message.get("code"), status=socket.close_code
            )
    except ConnectionClosed as error:
        raise closing(error) from error
    except asyncio.TimeoutError as error:
        raise UnreachableError("the server does not say that the session is connected") from error
    raise InvalidResponseError("the first message of the server is not `connected`")


def closing(closed: ConnectionClosed) -> PointstreamError:
    """Why a connection has ended."""
    # A close of ours, for a message over our limit or for a ping without an answer, says nothing of
    # the server.
    ours = closed.sent is not None and not closed.rcvd_then_sent
    if closed.rcvd is None or ours:
        return UnreachableError(f"the connection was lost ({closed})")
    # The reason begins with the code of the error.
    code, separator, text = closed.rcvd.reason.partition(": ")
    if not separator:
        code, text = "", closed.rcvd.reason
    text = text or f"the server closed the connection with {closed.rcvd.code}"
    return server_error(text, code=code or None, status=closed.rcvd.code)


def passes(error: BaseException) -> bool:
    """Whether another attempt to connect may succeed."""
    if isinstance(error, ServerError):
        if error.status is not None and error.status < 1000:
            return error.status in PASSING
        return error.status not in FINAL
    return isinstance(error, UnreachableError | WebSocketException)
