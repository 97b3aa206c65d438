"""HTTP with the standard library, in threads.

Requests are few, and the large data go over the socket. So another HTTP library would add
dependencies and save little.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import (
    InvalidResponseError,
    ResultTooLargeError,
    ServerError,
    UnreachableError,
    server_error,
)
from .parameters import query as as_query
from .retry import Retry
from .version import __version__

# The longest answer that is no result, in bytes.
LONGEST_REPLY = 64 << 20
PIECE = 1 << 20
# After these nothing has happened on the server, so any request may be sent again.
NOT_BEGUN = (429, 503)


@dataclass(frozen=True)
class Reply:
    """The answer to a request."""

    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise InvalidResponseError(
                "the answer is not a JSON object; check that the address is that of a server"
            )
        return value


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the token to another host, so it is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Rest:
    """Requests to one server."""

    def __init__(
        self, base: str, *, timeout: float, retry: Retry, tls: ssl.SSLContext | None
    ) -> None:
        parts = urllib.parse.urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ValueError("the address must be like http://127.0.0.1:8000, without a query")
        if parts.username is not None:
            raise ValueError("pass the token as token=..., not in the address, which logs may show")
        self.base = base.rstrip("/")
        self.timeout = timeout
        self.retry = retry
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=tls))
        self._opener = urllib.request.build_opener(*handlers)

    async def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        longest: int = LONGEST_REPLY,
        target: Path | None = None,
    ) -> Reply:
        """Send a request, again if the server asks for it. The body may go to a file."""
        attempt = 0
        while True:
            request = self._request(method, path, token, query, body)
            try:
                return await asyncio.to_thread(self._exchange, request, longest, target)
            except urllib.error.HTTPError as refused:
                error = await asyncio.to_thread(refusal, refused)
            attempt += 1
            delay = self.retry.delay(attempt, error.retry_after)
            if error.status not in NOT_BEGUN or delay is None:
                raise error
            await asyncio.sleep(delay)

    def url(self, path: str) -> str:
        """The address of a path below that of the server."""
        return self.base + path

    def below(self, path: str) -> str:
        """A path on the host, as the server gives it, as one below its address."""
        return path.removeprefix(urllib.parse.urlsplit(self.base).path)

    def _request(
        self,
        method: str,
        path: str,
        token: str | None,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
    ) -> urllib.request.Request:
        url = self.url(path)
        if query and (given := as_query(query)):
            url += "?" + urllib.parse.urlencode(given)
        headers = {"User-Agent": f"pointstream-python/{__version__}", **credentials(token)}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return urllib.request.Request(url, data=data, method=method, headers=headers)

    def _exchange(
        self, request: urllib.request.Request, longest: int, target: Path | None
    ) -> Reply:
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                if target is not None:
                    _save(response, target)
                    return Reply(response.headers, b"")
                return Reply(response.headers, _read(response, longest))
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(
                f"cannot reach {self.base} ({error}); is the server running, and is this its "
                "address?"
            ) from error


def credentials(token: str | None) -> dict[str, str]:
    """The header that says who we are; never a part of an address, which proxies log."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def refusal(refused: urllib.error.HTTPError) -> ServerError:
    """What the server says of a request that it refuses."""
    with refused:
        try:
            text = refused.read(PIECE).decode(errors="replace")
        except (OSError, http.client.HTTPException):
            text = ""
    return refusal_of(refused.code, dict(refused.headers), text, refused.reason)


def refusal_of(status: int, headers: Mapping[str, str], text: str, reason: str) -> ServerError:
    """The error of an answer with a status that is none of success."""
    try:
        fields = json.loads(text)
        detail, code = str(fields["detail"]), fields.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        detail, code = f"HTTP status {status} {reason}", None
    return server_error(detail, code=code, status=status, retry_after=_seconds(headers))


def _seconds(headers: Mapping[str, str]) -> float | None:
    # Our server sends seconds. A date, which proxies may send, counts as missing.
    lower = {name.lower(): value for name, value in headers.items()}
    value = lower.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _read(response: http.client.HTTPResponse, longest: int) -> bytes:
    body = response.read(longest + 1)
    if len(body) > longest:
        raise ResultTooLargeError(f"the answer has more than {longest} bytes")
    _check_end(response)
    return body


def _check_end(response: http.client.HTTPResponse) -> None:
    # With a given size, `read` does not say that the connection broke off.
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _save(response: http.client.HTTPResponse, target: Path) -> None:
    # Beside its place, so that an answer that breaks off replaces nothing.
    partial = target.with_name(f"{target.name}.part")
    try:
        with partial.open("wb") as file:
            while piece := response.read(PIECE):
                file.write(piece)
        _check_end(response)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
