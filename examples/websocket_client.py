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
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from photos import Photo, PhotoError, read_photos, read_video
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

Message = dict[str, Any]

# The start of a binary message: three letters, version, and length of the header in bytes.
PREFIX = struct.Struct("<3sBI")
RECONNECT_ATTEMPTS = 6
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

    def __init__(self, server: str, parameters: dict[str, Any], binary: bool = False) -> None:
        self.server = server.rstrip("/")
        self.binary = binary
        query = urllib.parse.urlencode(parameters)
        created = self.rest("POST", f"/ws/session/create?{query}")
        self.id: str = created["session_id"]
        self.image_count = 0
        self.received: deque[Message] = deque()
        self.sockets = ExitStack()
        self.socket = self.open(resume=False)

    def rest(self, method: str, path: str) -> Message:
        """Send one REST request; on an error, raise the server's message."""
        request = urllib.request.Request(self.server + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["detail"]
            except (ValueError, KeyError, TypeError):
                text = text or error.reason
            raise ClientError(f"the server refuses: {text}") from None
        except OSError as error:
            message = f"cannot reach {self.server} ({error}); is it running?"
            raise UnreachableError(message) from None

    def open(self, resume: bool) -> ClientConnection:
        """Connect and read `connected`. With `resume`, undelivered answers follow it."""
        address = self.server.replace("http", "ws", 1) + f"/ws/reconstruct/{self.id}"
        self.sockets.close()
        # No size limit: the message of ten million points has about 200 MB.
        flags = {"resume": resume, "binary": self.binary}
        query = urllib.parse.urlencode({name: "true" for name, given in flags.items() if given})
        connecting = connect(f"{address}?{query}", max_size=None, compression=None)
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
            try:
                self.socket = self.open(resume=True)
                # Query before the ping: an answer that is sent in between precedes the pong.
                running = self.rest("GET", f"/ws/session/{self.id}")["status"] == "processing"
                self.send({"type": "ping"})
                while (message := read_message(self.socket.recv()))["type"] != "pong":
                    self.received.append(message)
            except (OSError, ConnectionClosed, InvalidHandshake, UnreachableError):
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
        sent = False
        while True:
            try:
                if not sent:
                    self.send(message)
                while (reply := self.receive())["type"] not in ANSWER_TYPES:
                    if reply["type"] == "progress":
                        show_progress(reply)
                end_progress()
            except ConnectionClosed:
                end_progress()
                sent = self.reconnect()
                continue
            if reply["type"] == "error":
                raise ClientError(reply["message"])
            return reply

    def close(self, keep: bool) -> None:
        """Disconnect, and delete the session unless `keep` is set."""
        self.sockets.close()
        if keep:
            return
        try:
            self.rest("DELETE", f"/ws/session/{self.id}")
        except ClientError as error:
            print(f"the session could not be deleted: {error}", file=sys.stderr)


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
    long = ("intrinsics", "distortion", "extrinsics", "world_to_glb", "quality")
    for key, value in metadata.items():
        if key not in long:
            print(f"  {key}: {json.dumps(value, ensure_ascii=False)}")
    print(f"  cameras and world_to_glb: see {path.with_suffix('.json')}")
    # Other servers of the protocol do not judge their results.
    if quality := metadata.get("quality"):
        show_quality(quality)


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

    session = Session(options.server, parameters, options.binary)
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
