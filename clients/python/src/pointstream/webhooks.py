"""Verifies messages of webhooks, which follow https://www.standardwebhooks.com.

It needs only `hmac`, so there is no dependency for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import WebhookError


@dataclass(frozen=True)
class WebhookMessage:
    """A message that was verified."""

    # The same for all attempts to deliver a message: handle each only once.
    id: str
    # `result.made`, `request.failed`, `session.ended`, `session.failed`, or a later addition.
    type: str
    # When it happened, as the server writes it (RFC 3339).
    timestamp: str
    data: dict[str, Any]


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: float = 300.0,
    now: float | None = None,
) -> WebhookMessage:
    """Check that a message is from the server and recent; raise WebhookError if not.

    `body` is the body as it came, before any parser. `headers` may have names in any case.
    `tolerance` is in seconds: who has read a message cannot send it again later. `now` is the time
    in seconds since 1970, by default that of this machine.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        identifier = lower["webhook-id"]
        timestamp = lower["webhook-timestamp"]
        signatures = lower["webhook-signature"]
    except KeyError as error:
        raise WebhookError(f"the header {error} is missing") from None
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise WebhookError("webhook-timestamp is not a number of seconds")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        raise WebhookError("the message is too old, or the clocks differ")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise WebhookError("the secret is not `whsec_` and base64") from None
    if not key:
        # Anybody could sign with an empty key.
        raise WebhookError("the secret is empty")
    signed = f"{identifier}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    # There are several signatures while a secret is replaced.
    for signature in signatures.split():
        version, _, value = signature.partition(",")
        # Of equal time whatever the value is.
        if version == "v1" and hmac.compare_digest(value.encode(), expected):
            return _parse(identifier, body)
    raise WebhookError("no signature fits: the secret is another one, or the body was changed")


def _parse(identifier: str, body: bytes) -> WebhookMessage:
    try:
        fields = json.loads(body)
        return WebhookMessage(identifier, fields["type"], fields["timestamp"], fields["data"])
    except (ValueError, KeyError, TypeError):
        raise WebhookError("the body is not a message of a webhook") from None
