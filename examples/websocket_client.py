#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = ["websockets>=13"]
# ///
"""Stream photos or a video to a running server and save the resulting point cloud.

    .venv/bin/python examples/websocket_client.py --images examples/sample_scene/*.jpg
    .venv/bin/python examples/websocket_client.py --video walk.mp4 --num-frames 20 --incremental

Any Python from 3.10 on with the package `websockets` works, and so does `uv run`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from growing_map import GrowingMap
from photos import Photo, PhotoError, read_photos, read_video
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

Message = dict[str, Any]

# The start of a binary message: three letters, version, and length of the header in bytes.
PREFIX = struct.Struct("<3sBI")
RECONNECT_ATTEMPTS = 6
# So often may a connection be lost before its result came; then it is fetched over HTTP.
LOSSES = 2
ANSWER_TYPES = ("delta", "complete", "error")
METHODS = (
    "upper_bound_resize",
    "upper_bound_crop",
    "lower_bound_resize",
    "lower_bound_crop",
)


class ClientError(Exception):
    """A failure with a message for the user."""


class UnreachableError(ClientError):
    """The server does not respond."""


class Session:
    """One reconstruction on the server, over a socket that reconnects when it drops."""

    def __init__(
        self,
        server: str,
        parameters: dict[str, Any],
        binary: bool = False,
        token: str | None = None,
    ) -> None:
        self.server = server.rstrip("/")
        self.binary = binary
        self.token = token
        query = urllib.parse.urlencode(parameters)
        created = self.rest("POST", f"/ws/session/create?{query}")
        self.id: str = created["session_id"]
        # From now on the token of this session suffices. Servers that ask for none have none.
        self.token = created.get("session_token", self.token)
        self.image_count = 0
        self.map = GrowingMap()
        self.received: deque[Message] = deque()
        # Whether the server has a request whose result we have not got.
        self.awaits_result = False
        # Connections that were lost while we waited for a result.
        self.losses = 0
        self.tag: str | None = None
        # Whether a new connection gets the answers that an earlier one missed.
        self.resumes = True
        self.sockets = ExitStack()
        self.socket = self.open(resume=False)

    def rest(self, method: str, path: str) -> Message:
        """Send one REST request; on an error, raise the server's message."""
        try:
            with self.ask(method, self.server + path) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise refusal(error) from None
        except OSError as error:
            message = f"cannot reach {self.server} ({error}); is it running?"
            raise UnreachableError(message) from None

    def ask(self, method: str, url: str) -> HTTPResponse:
        """Send one request as who we are; return the response with its body unread."""
        request = urllib.request.Request(url, method=method, headers=self.credentials())
        return urllib.request.urlopen(request, timeout=60)

    def credentials(self) -> dict[str, str]:
        """The header that says who we are; never a part of an address, which proxies log."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def open(self, resume: bool) -> ClientConnection:
        """Connect and read `connected`. With `resume`, undelivered answers follow it."""
        address = self.server.replace("http", "ws", 1) + f"/ws/reconstruct/{self.id}"
        self.sockets.close()
        # No size limit: the message of ten million points has about 200 MB.
        flags = {"resume": resume, "binary": self.binary}
        given = {name: "true" for name, given in flags.items() if given}
        # Updates have only what is new since the last one. Other servers ignore this.
        given["deltas"] = "append"
        if self.map.number is not None:
            given["since"] = str(self.map.number)
        query = urllib.parse.urlencode(given)
        connecting = connect(
            f"{address}?{query}",
            max_size=None,
            compression=None,
            additional_headers=self.credentials(),
        )
        socket = self.sockets.enter_context(connecting)
        greeting = read_message(socket.recv(timeout=60))
        if greeting["type"] != "connected":
            raise ClientError(greeting.get("message", f"unexpected greeting {greeting}"))
        self.image_count = greeting["image_count"]
        # Servers without binary messages ignore the flag and send JSON.
        self.binary = greeting.get("binary", False)
        return socket

    def reconnect(self) -> bool:
        """Reconnect; return whether the server still has our request.

        If so, its answer will arrive or is already in `received`. Otherwise the request was lost.
        """
        for attempt in range(RECONNECT_ATTEMPTS):
            print(f"connection lost, retrying in {2**attempt} s", file=sys.stderr)
            time.sleep(2**attempt)
            opened = False
            try:
                self.socket = self.open(resume=self.resumes)
                opened = True
                # Query before the ping: an answer that is sent in between precedes the pong.
                running = self.rest("GET", f"/ws/session/{self.id}")["status"] == "processing"
                self.send({"type": "ping"})
                while (message := read_message(self.socket.recv()))["type"] != "pong":
                    self.received.append(message)
            except (OSError, ConnectionClosed, InvalidHandshake, UnreachableError):
                self.losses += opened
                if self.awaits_result and self.losses >= LOSSES:
                    return True
                continue
            return running or any(one["type"] in ANSWER_TYPES for one in self.received)
        raise ClientError("the connection is lost and could not be restored")

    def send(self, message: Message) -> None:
        """Send one message."""
        self.socket.send(json.dumps(message))

    def receive(self) -> Message:
        """Wait for one message."""
        return self.received.popleft() if self.received else read_message(self.socket.recv())

    def send_image(self, photo: Photo) -> None:
        """Send a photo as a binary message, or as base64 in JSON."""
        header = {"type": "image", "filename": photo.name}
        if self.binary:
            text = json.dumps(header).encode()
            self.socket.send(PREFIX.pack(b"PSB", 1, len(text)) + text + photo.data)
        else:
            self.send({**header, "data": base64.b64encode(photo.data).decode()})

    def upload(self, photo: Photo) -> str | None:
        """Send a photo, again if the connection drops; return the server's error, if any."""
        before = self.image_count
        while True:
            try:
                self.send_image(photo)
                while (reply := self.receive())["type"] not in ("ack", "error"):
                    pass
                self.image_count = reply.get("image_count", before)
                return reply.get("message")
            except ConnectionClosed:
                self.reconnect()
                if self.image_count > before:
                    return None  # The photo had arrived; only its acknowledgement was lost.

    def request(self, message: Message) -> Message:
        """Request a point cloud and wait for it; show progress."""
        before = self.result_tag()
        sent = False
        self.losses = 0
        while True:
            try:
                if not sent:
                    # Before it is sent: an interrupt in between must not delete the session.
                    self.awaits_result = True
                    self.send(message)
                while (reply := self.receive())["type"] not in ANSWER_TYPES:
                    if reply["type"] == "progress":
                        show_progress(reply)
                end_progress()
            except ConnectionClosed:
                end_progress()
                self.losses += 1
                sent = self.reconnect()
                gives_up = self.losses >= LOSSES or not self.resumes
                if not (self.awaits_result and gives_up):
                    continue
                # Whatever cuts the connection will do so again.
                fetched = self.fetch_when_done(before)
                if fetched is None:
                    sent = False
                    continue
                reply = fetched
            if "result_url" in reply:
                # A path on the server's host, which has the path of a reverse proxy already.
                reply = self.fetch(urllib.parse.urljoin(self.server, reply["result_url"]))
            self.awaits_result = False
            if reply["type"] == "error":
                raise ClientError(reply["message"])
            self.confirm(reply)
            return reply

    def result_tag(self) -> str | None:
        """What identifies the newest result; None if there is none, or the server does not say."""
        try:
            with self.ask("HEAD", self.result_url()) as response:
                self.tag = response.headers["ETag"]
        except urllib.error.HTTPError:
            self.tag = None
        except OSError:
            pass  # The tag before is the newest that we know.
        return self.tag

    def fetch_when_done(self, before: str | None) -> Message | None:
        """Wait for a result other than the one before, and fetch it; None if there is none."""
        path = f"/ws/session/{self.id}"
        while (state := self.rest("GET", path))["status"] == "processing":
            time.sleep(1)
        if state["error_message"]:
            self.awaits_result = False
            raise ClientError(state["error_message"])
        if self.result_tag() == before:
            return None
        self.received.clear()
        # The server still has it for a connection that resumes, on which it would be lost again.
        self.resumes = False
        return self.fetch(self.result_url())

    def result_url(self) -> str:
        """Where the newest result is."""
        return f"{self.server}/ws/session/{self.id}/result"

    def fetch(self, url: str) -> Message:
        """Fetch the newest result: the message that carried it, and its point cloud."""
        try:
            with self.ask("GET", f"{url}?format=json") as response:
                answer = json.load(response)
            with self.ask("GET", url) as response:
                answer["glb"] = response.read()
        except urllib.error.HTTPError as error:
            raise refusal(error) from None
        # It did not come on this connection, so there is nothing to confirm.
        answer.pop("number", None)
        return answer

    def confirm(self, answer: Message) -> None:
        """Apply an update to the map, and tell the server that the result is here."""
        if append := answer["metadata"].get("append"):
            self.map.apply(append, answer["glb"])
        # Fetched results, and those of other servers, have no number.
        if number := answer.get("number"):
            # A lost connection shows at the next request. Unconfirmed, the server sends all again.
            with suppress(ConnectionClosed):
                self.send({"type": "received", "number": number})

    def close(self, keep: bool) -> None:
        """Disconnect, and delete the session unless `keep` is set or its result is still there."""
        self.sockets.close()
        if self.awaits_result:
            address = self.result_url()
            print(f"the session is kept; fetch its result from {address}", file=sys.stderr)
        if keep or self.awaits_result:
            return
        try:
            self.rest("DELETE", f"/ws/session/{self.id}")
        except ClientError as error:
            print(f"the session could not be deleted: {error}", file=sys.stderr)


def refusal(error: urllib.error.HTTPError) -> ClientError:
    """What the server says of a request that it refuses."""
    text = error.read().decode(errors="replace")
    try:
        text = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        text = text or error.reason
    return ClientError(f"the server refuses: {text}")


def read_message(received: str | bytes) -> Message:
    """Parse a text or binary message; the bytes of a point cloud become its field `glb`."""
    if isinstance(received, bytes):
        _, _, length = PREFIX.unpack_from(received)
        end = PREFIX.size + length
        return {**json.loads(received[PREFIX.size : end]), "glb": received[end:]}
    message = json.loads(received)
    if "glb_base64" in message:
        message["glb"] = base64.b64decode(message.pop("glb_base64"))
    return message


def show_progress(message: Message) -> None:
    """Draw a progress bar if stderr is a terminal."""
    if sys.stderr.isatty():
        done = round(30 * message["progress"])
        bar = "#" * done + "-" * (30 - done)
        line = f"[{bar}] {message['progress']:4.0%} {message['stage']}: {message['message']}"
        print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)


def end_progress() -> None:
    """End the line of the progress bar."""
    if sys.stderr.isatty():
        print(file=sys.stderr)


def save(answer: Message, folder: Path, name: str) -> None:
    """Write the GLB and its metadata, and print the main metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.glb"
    path.write_bytes(answer["glb"])
    metadata = answer["metadata"]
    path.with_suffix(".json").write_text(json.dumps(metadata, indent=1) + "\n")
    print(f"{answer['type']}: {path}")
    long = ("intrinsics", "distortion", "extrinsics", "world_to_glb", "quality", "append")
    for key, value in metadata.items():
        if key not in long:
            print(f"  {key}: {json.dumps(value, ensure_ascii=False)}")
    print(f"  cameras and world_to_glb: see {path.with_suffix('.json')}")
    # Other servers of the protocol do not judge their results.
    if quality := metadata.get("quality"):
        show_quality(quality)


def show_update(append: dict[str, Any], grown: GrowingMap) -> None:
    """Print what an update has changed."""
    changes = [f"{len(append['frames'])} new frames", f"{len(append['corrections'])} moved"]
    if append["reset"]:
        changes.insert(0, "begins anew")
    print(f"  map: {', '.join(changes)}; {len(grown.frames)} frames, {grown.num_points} points")


def show_quality(quality: dict[str, Any]) -> None:
    """Print whether the result can be relied on, and if not, why and what to do."""
    print(f"  quality: {quality['verdict']}")
    for frame in quality["frames"]:
        if frame["reason"]:
            state = "doubtful" if frame["used"] else "left out"
            print(f"    {frame['name']} is {state}: {frame['reason']}")
    for advice in quality["advice"]:
        print(f"    {advice}")


def reconstruct(options: argparse.Namespace) -> None:
    """Upload everything and save every point cloud."""
    if options.video:
        photos = list(read_video(options.video, options.num_frames))
    else:
        photos = list(read_photos(options.images))
    names = ("process_res", "process_res_method", "conf_thresh_percentile", "num_max_points")
    given = {name: getattr(options, name) for name in names}
    parameters = {name: value for name, value in given.items() if value is not None}
    parameters["max_images"] = max(len(photos), 1)
    parameters["show_cameras"] = "true" if options.show_cameras else "false"

    session = Session(options.server, parameters, options.binary, options.token)
    print(f"session {session.id}")
    try:
        size = options.batch_size if options.incremental else max(len(photos), 1)
        batches = [photos[begin : begin + size] for begin in range(0, len(photos), size)]
        for number, batch in enumerate(batches, start=1):
            for photo in batch:
                refusal = session.upload(photo)
                print(f"{photo.name}: {refusal or 'uploaded'}")
            if options.incremental:
                answer = session.request({"type": "generate", "incremental": True})
                save(answer, options.output_dir, f"delta_{number:03d}")
                if "append" in answer["metadata"]:
                    show_update(answer["metadata"]["append"], session.map)
                    session.map.save(options.output_dir / "map.json")
        if options.incremental:
            final = {"type": "finalize"}
        else:
            final = {"type": "generate", "incremental": False}
        answer = session.request(final)
        save(answer, options.output_dir, "scene")
    finally:
        session.close(options.keep)
    if answer["metadata"].get("quality", {}).get("verdict") == "failed":
        raise ClientError("these photos give no point cloud")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", type=Path, nargs="+", help="photos, in any order")
    source.add_argument("--video", type=Path)
    add = parser.add_argument
    add("--num-frames", type=positive, default=20, help="frames of the video (default: 20)")
    add("--incremental", action="store_true", help="request a point cloud after each batch")
    add("--batch-size", type=positive, default=4, help="photos per batch (default: 4)")
    add("--server", default="http://127.0.0.1:8000", help="default: http://127.0.0.1:8000")
    add(
        "--token",
        default=os.environ.get("POINTSTREAM_TOKEN"),
        help="token for a server that asks for one (default: the variable POINTSTREAM_TOKEN, which "
        "other users of this machine do not see)",
    )
    add("--binary", action="store_true", help="send and receive binary messages instead of base64")
    add(
        "--output-dir",
        type=Path,
        default=Path("output"),
        help="folder of the GLBs (default: output)",
    )
    add("--keep", action="store_true", help="do not delete the session at the end")
    add("--process-res", type=int)
    add("--process-res-method", choices=METHODS)
    add("--conf-thresh-percentile", type=float)
    add("--num-max-points", type=int)
    add("--no-cameras", dest="show_cameras", action="store_false")
    return parser.parse_args()


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def main() -> int:
    """Run the command."""
    try:
        reconstruct(parse_arguments())
    except (ClientError, PhotoError, OSError, ConnectionClosed, InvalidHandshake) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
