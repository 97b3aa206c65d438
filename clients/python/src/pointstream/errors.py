"""Everything that this package raises.

An error of the server keeps the server's `code`, and its text ends with what would work. The codes
are those of docs/protocol.md; a code that this version does not know becomes a `ServerError`.
"""

from __future__ import annotations

from typing import Any


class PointstreamError(Exception):
    """Any error of this package."""


class UnreachableError(PointstreamError):
    """The server does not respond: it is not there, or the network is down."""


class ConnectionLostError(PointstreamError):
    """A connection was lost, and could not be restored within the allowed attempts."""


class ClosedError(PointstreamError):
    """The session was used before it was entered, or after it was left."""


class InvalidResponseError(PointstreamError):
    """The answer is not one of the protocol: most likely something else answers at this address."""


class IncompatibleServerError(PointstreamError):
    """The server speaks another version of the protocol."""


class GlbError(PointstreamError):
    """A file is not a GLB that this package reads."""


class WebhookError(PointstreamError):
    """A message of a webhook is not from the server, too old, or malformed."""


class ServerError(PointstreamError):
    """The server refuses a request, or could not fulfil it."""

    advice = "the server's log may say more"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        filename: str | None = None,
        result_url: str | None = None,
    ) -> None:
        super().__init__(message)
        # What the server says, for people.
        self.message = message
        # One of the error codes of the protocol; None if a proxy answered in place of the server.
        self.code = code
        # The status of an HTTP answer, or the close code of a socket.
        self.status = status
        # Seconds after which the server wants to be asked again.
        self.retry_after = retry_after
        # The image concerned.
        self.filename = filename
        # The path of a result that did not fit into a message.
        self.result_url = result_url

    def __str__(self) -> str:
        text = f"{self.message} [{self.code}]" if self.code else self.message
        return f"{text}; {self.advice}"


class AuthenticationError(ServerError):
    """There is no valid token."""

    advice = (
        "pass a valid token as token=..., which the operator makes with `pointstream token add`"
    )


class PermissionDeniedError(ServerError):
    """The token, or this way to the server, does not allow the operation."""

    advice = "use a token with this scope and the address that the operator gives"


class SessionNotFoundError(ServerError):
    """There is no such session for this caller."""

    advice = "create a new session; unused and idle sessions expire"


class SessionEndedError(ServerError):
    """The session has ended while it was used."""

    advice = "create a new session and send the images again"


class ImageRefusedError(ServerError):
    """An image cannot be used. The session goes on without it."""

    advice = "send a JPEG, PNG, WebP or HEIC file within the limits of client.info()"


class RequestCancelledError(ServerError):
    """The request was cancelled."""

    advice = "images and earlier results are kept, so generate() works again"


class InvalidRequestError(ServerError):
    """A parameter, a message or a form is not one that the server takes."""

    advice = "the message names what is wrong; docs/protocol.md lists what is accepted"


class StateError(ServerError):
    """The session is not in a state for this."""

    advice = "look at session.state()"


class SessionCompletedError(StateError):
    """The session is completed."""

    advice = "session.reopen() lets it take images and requests again"


class BusyError(ServerError):
    """The server, or this caller's share of it, is full for now."""

    advice = "try again later, after retry_after seconds if it is given"


class ReconstructionError(ServerError):
    """The images gave no result."""

    advice = "fewer images, a smaller process_res or other images may work"


class ResultTooLargeError(ServerError):
    """A result is larger than this client takes."""

    advice = "save it with session.download(path), or raise max_message_bytes or max_result_bytes"


class StorageError(ServerError):
    """The server could not store or read something."""

    advice = "the operator must make space on the disk or raise the limits of it"


_CLASSES: dict[str, type[ServerError]] = {
    code: kind
    for kind, codes in {
        AuthenticationError: "unauthenticated",
        PermissionDeniedError: "missing_scope watches_only origin_not_allowed host_not_allowed "
        "https_required",
        SessionNotFoundError: "session_not_found",
        SessionEndedError: "session_deleted session_expired session_failed",
        ImageRefusedError: "invalid_image image_too_large too_many_images",
        RequestCancelledError: "cancelled",
        InvalidRequestError: "invalid_message invalid_parameter unknown_parameter unexpected_body "
        "invalid_form unsupported_media_type method_not_allowed upgrade_required invalid_header "
        "not_found protocol_violation message_too_large range_not_satisfiable precondition_failed "
        "invalid_video video_too_large videos_off",
        SessionCompletedError: "session_completed",
        StateError: "no_images nothing_to_cancel unknown_result not_completed no_result",
        BusyError: "session_busy too_many_requests too_many_sessions too_many_clients "
        "too_many_connections server_busy shutting_down not_ready worker_restarts "
        "reads_too_slowly sends_too_slowly no_answer",
        ReconstructionError: "model_failed no_point_cloud out_of_memory timeout worker_failed",
        ResultTooLargeError: "result_too_large",
        StorageError: "disk_full storage_failed",
    }.items()
    for code in codes.split()
}

# For answers without a code, which a proxy gives.
_BY_STATUS: dict[int, type[ServerError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    429: BusyError,
    502: BusyError,
    503: BusyError,
    504: BusyError,
}


def server_error(message: str, *, code: str | None = None, **details: Any) -> ServerError:
    """The error of this code, or else of this status."""
    kind = _CLASSES.get(code or "") or _BY_STATUS.get(details.get("status") or 0, ServerError)
    return kind(message, code=code, **details)
