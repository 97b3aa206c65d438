"""Receives webhooks of pointstream: verifies each message, and prints what has happened.

It needs nothing but Python. In a program of your own, a library of https://www.standardwebhooks.com
can do the same as `verify`.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

# Seconds that a message may be old: who has read one cannot send it again later.
TOLERANCE = 300
# The longest body that is read, in bytes.
LONGEST = 64 * 1024


def verify(secret: str, headers, body: bytes) -> str:
    """Returns the identifier of a message, or raises ValueError if it is not from the sender."""
    identifier, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if identifier is None or timestamp is None:
        raise ValueError("headers are missing")
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise ValueError("the message is too old, or the clocks differ")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{identifier}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # There are several signatures while a secret is replaced.
    for signature in (headers["webhook-signature"] or "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected.encode()):
            return identifier
    raise ValueError("the signature is wrong")


class Receiver(BaseHTTPRequestHandler):
    """Prints each message once: it may come twice."""

    secret = ""
    # A program that is restarted keeps them in its database.
    known: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        length = self.headers["content-length"] or "0"
        if not (length.isascii() and length.isdigit()):
            return self.answer(400)
        if int(length) > LONGEST:
            return self.answer(413)
        body = self.rfile.read(int(length))
        try:
            identifier = verify(self.secret, self.headers, body)
        except ValueError as error:
            self.log_error("refused: %s", error)
            return self.answer(400)
        if identifier not in self.known:
            self.known.add(identifier)
            event = json.loads(body)
            print(event["type"], json.dumps(event["data"]), flush=True)
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    Receiver.secret = os.environ["WEBHOOK_SECRET"]
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
