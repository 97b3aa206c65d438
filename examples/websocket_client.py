#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = ["pointstream"]
# [tool.uv.sources]
# pointstream = { path = "../clients/python" }
# ///
"""Stream photos or a video to a running server and save the resulting point cloud.

    .venv/bin/python examples/websocket_client.py --images examples/sample_scene/*.jpg
    .venv/bin/python examples/websocket_client.py --video walk.mp4 --num-frames 20 --incremental

It uses the package in clients/python, which `pip install ./clients/python` installs; `uv run` does
so by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from photos import PhotoError, read_photos, read_video

from pointstream import (
    ClientOptions,
    Cloud,
    ConnectionLostError,
    Disconnected,
    Event,
    Image,
    ImageRefusedError,
    PointstreamError,
    Progress,
    Result,
    ResultTooLargeError,
    Retry,
    ServerError,
    SocketOptions,
)
from pointstream.sync import Client, Session

METHODS = (
    "upper_bound_resize",
    "upper_bound_crop",
    "lower_bound_resize",
    "lower_bound_crop",
)
# What metadata have of each image, which the file has too.
LONG = ("intrinsics", "distortion", "extrinsics", "world_to_glb", "quality", "append")


# The metadata of a result, and its GLB.
Made = tuple[dict[str, Any], bytes]


class NoCloudError(Exception):
    """The photos give no point cloud."""


class Exchange:
    """The requests to one session. It is kept as long as a result of it may be missing."""

    def __init__(self, client: Client, session: Session, socket: SocketOptions, keep: bool) -> None:
        self.client = client
        self.session = session
        self.socket = socket
        self.keep = keep
        self.awaits_result = False
        self.attached = ExitStack()

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        with self.attached:
            if self.awaits_result:
                address = f"{self.client.url}/ws/session/{self.session.id}/result"
                print(f"the session is kept; fetch its result from {address}", file=sys.stderr)
            elif not self.keep:
                self.delete()

    def delete(self) -> None:
        """End the session. It may have ended, or the server be gone; both is no reason to fail."""
        try:
            self.session.delete()
        except PointstreamError as error:
            print(f"the session was not deleted: {error}", file=sys.stderr)

    def upload(self, photos: list[Image]) -> None:
        """Send photos, and say which are refused."""
        for photo, outcome in zip(photos, self.session.upload_many(photos), strict=True):
            refused = isinstance(outcome, ImageRefusedError)
            print(f"{photo.name}: {outcome.message if refused else 'uploaded'}")

    def request(self, ask: Callable[[Session], Result], *, final: bool = False) -> Made:
        """Ask for a point cloud: its metadata, and its GLB."""
        while True:
            # Before it is sent: an interrupt in between must not delete the session.
            self.awaits_result = True
            made = self.ask_once(ask, final)
            self.awaits_result = False
            if made is not None:
                return made

    def ask_once(self, ask: Callable[[Session], Result], final: bool) -> Made | None:
        """The same, or None if the request did not reach the server."""
        try:
            result = ask(self.session)
            return result.metadata, result.glb
        except ResultTooLargeError:
            return self.fetch(final)
        except ConnectionLostError as error:
            # What cuts each connection before its result came would do so again.
            print(f"{error}\nfetching the result over HTTP", file=sys.stderr)
            made = self.fetch(final)
            self.take_up()
            return made
        except (ServerError, KeyboardInterrupt):
            # This is the answer, or the client has taken the request back.
            self.awaits_result = False
            raise
        finally:
            end_progress()

    def fetch(self, final: bool) -> Made | None:
        """The result of a request without an answer; None if it is not that of all images."""
        while (state := self.session.state())["status"] == "processing":
            time.sleep(1)
        if state["error_message"]:
            self.awaits_result = False
            raise NoCloudError(state["error_message"])
        if not state["has_result"] or (final and state["status"] != "completed"):
            return None
        told = json.loads(self.session.result("json"))
        if told["image_count"] < state["image_count"]:
            return None
        return told["metadata"], self.session.result("glb")

    def take_up(self) -> None:
        """Connect anew: the connection before was given up. What it missed is fetched already."""
        session = self.session
        attached = self.client.attach(
            session.id, token=session.token, cloud=session.cloud, options=self.socket, resume=False
        )
        self.session = self.attached.enter_context(attached)


def show(event: Event) -> None:
    """Show progress if stderr is a terminal, and lost connections."""
    if isinstance(event, Disconnected):
        print(f"connection lost, retrying in {event.delay:.1f} s", file=sys.stderr)
    elif isinstance(event, Progress) and sys.stderr.isatty():
        done = round(30 * event.progress)
        bar = "#" * done + "-" * (30 - done)
        line = f"[{bar}] {event.progress:4.0%} {event.stage}: {event.message}"
        print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)


def end_progress() -> None:
    """End the line of the progress bar."""
    if sys.stderr.isatty():
        print(file=sys.stderr)


def save(kind: str, made: Made, folder: Path, name: str) -> None:
    """Write the GLB and its metadata, and print the main metadata."""
    metadata, glb = made
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.glb"
    path.write_bytes(glb)
    path.with_suffix(".json").write_text(json.dumps(metadata, indent=1) + "\n")
    print(f"{kind}: {path}")
    for key, value in metadata.items():
        if key not in LONG:
            print(f"  {key}: {json.dumps(value, ensure_ascii=False)}")
    print(f"  cameras and world_to_glb: see {path.with_suffix('.json')}")
    quality = metadata["quality"]
    print(f"  quality: {quality['verdict']}")
    for frame in quality["frames"]:
        if frame["reason"]:
            state = "doubtful" if frame["used"] else "left out"
            print(f"    {frame['name']} is {state}: {frame['reason']}")
    for advice in quality["advice"]:
        print(f"    {advice}")


def save_map(append: dict[str, Any], cloud: Cloud, path: Path) -> None:
    """Print what an update has changed, and write where all frames are now."""
    changes = [f"{len(append['frames'])} new frames", f"{len(append['corrections'])} moved"]
    if append["reset"]:
        changes.insert(0, "begins anew")
    chunks = cloud.chunks
    print(f"  map: {', '.join(changes)}; {len(chunks)} frames, {len(cloud)} points")
    frames = [
        {
            "frame": camera.number,
            "name": camera.name,
            "camera_to_glb": camera.camera_to_glb.tolist(),
            "points": len(chunks[camera.number].points.positions),
        }
        for camera in cloud.cameras
    ]
    path.write_text(json.dumps({"update": cloud.number, "frames": frames}, indent=1) + "\n")


def reconstruct(options: argparse.Namespace) -> None:
    """Upload everything and save every point cloud."""
    if options.video:
        photos = list(read_video(options.video, options.num_frames))
    else:
        photos = list(read_photos(options.images))
    images = [Image(photo.data, photo.name) for photo in photos]
    names = ("process_res", "process_res_method", "conf_thresh_percentile", "num_max_points")
    given = {name: getattr(options, name) for name in names}
    parameters = {name: value for name, value in given.items() if value is not None}
    parameters |= {"max_images": max(len(images), 1), "show_cameras": options.show_cameras}
    client = Client(
        options.server, options.token, options=ClientOptions(retry=Retry(attempts=4, first=0.5))
    )
    socket = SocketOptions(binary=options.binary, on_event=show)
    with client, client.session(options=socket, keep=True, **parameters) as session:
        print(f"session {session.id}")
        with Exchange(client, session, socket, options.keep) as exchange:
            metadata = send(exchange, images, options)
    if metadata["quality"]["verdict"] == "failed":
        raise NoCloudError("these photos give no point cloud")


def send(exchange: Exchange, images: list[Image], options: argparse.Namespace) -> dict[str, Any]:
    """Send the images and save each point cloud; the metadata of the last one."""
    folder = options.output_dir
    size = options.batch_size if options.incremental else max(len(images), 1)
    for number, begin in enumerate(range(0, len(images), size), start=1):
        exchange.upload(images[begin : begin + size])
        if options.incremental:
            made = exchange.request(lambda session: session.generate())
            save("delta", made, folder, f"delta_{number:03d}")
            if append := made[0].get("append"):
                save_map(append, exchange.session.cloud, folder / "map.json")
    if options.incremental:
        made = exchange.request(lambda session: session.finalize(), final=True)
    else:
        made = exchange.request(lambda session: session.generate(incremental=False))
    save("complete", made, folder, "scene")
    return made[0]


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
    add(
        "--json",
        dest="binary",
        action="store_false",
        help="send and receive base64 in JSON instead of binary messages",
    )
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
    except (PointstreamError, PhotoError, NoCloudError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
