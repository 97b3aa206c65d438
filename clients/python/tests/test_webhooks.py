"""Signatures of webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from pointstream import WebhookError, webhooks

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret of 24 byte").decode()
NOW = 1767268800
BODY = json.dumps(
    {
        "type": "session.ended",
        "timestamp": "2026-01-01T12:00:00Z",
        "data": {"session_id": "s", "reason": "deleted"},
    }
).encode()


def signature(secret: str, timestamp: str = str(NOW), body: bytes = BODY) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(**changes: str) -> dict[str, str]:
    given = {"id": "msg_1", "timestamp": str(NOW), "signature": signature(SECRET), **changes}
    return {f"Webhook-{name.title()}": value for name, value in given.items()}


def test_a_message_is_verified() -> None:
    message = webhooks.verify(SECRET, headers(), BODY, now=NOW + 299)
    assert (message.id, message.type, message.data["reason"]) == (
        "msg_1",
        "session.ended",
        "deleted",
    )


def test_the_example_of_the_specification_is_verified() -> None:
    """The vector of Standard Webhooks."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    # It is signed, but not one of ours: its body has other fields.
    with pytest.raises(WebhookError, match="body is not a message"):
        webhooks.verify(secret, given, b'{"test": 2432232314}', now=1614265330)


def test_one_of_several_signatures_is_enough() -> None:
    several = f"v1a,other {signature(OTHER)} {signature(SECRET)}"
    webhooks.verify(SECRET, headers(signature=several), BODY, now=NOW)


@pytest.mark.parametrize(
    ("changes", "body", "now", "reason"),
    [
        ({"signature": signature(OTHER)}, BODY, NOW, "no signature fits"),
        ({"signature": "v1,"}, BODY, NOW, "no signature fits"),
        ({"signature": "v1,\u00e9"}, BODY, NOW, "no signature fits"),
        ({"signature": signature(SECRET).replace("v1", "v2")}, BODY, NOW, "no signature fits"),
        ({}, BODY + b" ", NOW, "no signature fits"),
        ({"id": "msg_2"}, BODY, NOW, "no signature fits"),
        ({}, BODY, NOW + 301, "too old"),
        ({}, BODY, NOW - 301, "too old"),
        ({"timestamp": "-1"}, BODY, NOW, "not a number"),
        ({"timestamp": "1e9"}, BODY, NOW, "not a number"),
        (
            {"signature": signature(SECRET, body=b"[]")},
            b"[]",
            NOW,
            "not a message",
        ),
    ],
)
def test_others_are_refused(changes: dict[str, str], body: bytes, now: int, reason: str) -> None:
    with pytest.raises(WebhookError, match=reason):
        webhooks.verify(SECRET, headers(**changes), body, now=now)


def test_headers_and_secrets_must_be_there() -> None:
    with pytest.raises(WebhookError, match="webhook-signature"):
        given = headers()
        del given["Webhook-Signature"]
        webhooks.verify(SECRET, given, BODY, now=NOW)
    for secret in ("", "whsec_", "whsec_!"):
        with pytest.raises(WebhookError, match="secret"):
            webhooks.verify(secret, headers(), BODY, now=NOW)
