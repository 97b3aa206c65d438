"""Cost of images and results between client and server: JSON against binary messages.

Only the messages are measured. Images go to a full session, which reads them and refuses them
before decoding. Results belong to a client that disconnected before they were ready; another client
fetches them by resuming, while no model runs.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import statistics
import struct
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from .service import CLIENT_OPTIONS, Photo, Server, receive, until

PREFIX = struct.Struct("<3sBI")
# A 12 megapixel camera.
PHOTO_SIZE = (4000, 3000)
NOISE = 4.0
QUALITY = 90
# Delay until the kernel has accounted the CPU time of an acknowledged message.
SETTLE_SECONDS = 0.1


@dataclass
class Cost:
    """Cost of one message; times are CPU seconds."""

    bytes: float
    client: float
    server: float


@dataclass
class Exchange:
    """The costs of one run by message."""

    image: Cost
    result: Cost


class Meter:
    """Measures the CPU time of the server and of this process."""

    def __init__(self, server: Server) -> None:
        # The Linux clock id of another process's CPU time; finer than /proc.
        self.clock = (~server.process.pid << 3) | 2
        self.begin()

    def begin(self) -> None:
        """Start a measurement."""
        self.server = time.clock_gettime(self.clock)
        self.client = time.process_time()

    def cost(self, size: float, count: int) -> Cost:
        """The cost per message since `begin`, for `count` messages of `size` bytes."""
        time.sleep(SETTLE_SECONDS)
        client = time.process_time() - self.client
        server = time.clock_gettime(self.clock) - self.server
        return Cost(size, client / count, server / count)


def enlarged(photos: list[Photo]) -> list[Photo]:
    """Enlarge the photos to camera size and add sensor noise."""
    random = np.random.default_rng(0)
    results = []
    for photo in photos:
        image = Image.open(io.BytesIO(photo.data)).convert("RGB").resize(PHOTO_SIZE)
        noisy = np.asarray(image) + random.normal(0, NOISE, (*PHOTO_SIZE[::-1], 3))
        file = io.BytesIO()
        pixels = noisy.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
        results.append(Photo(photo.name, file.getvalue()))
    return results


async def exchange(
    server: Server, photos: list[Photo], large: list[Photo], points: int, binary: bool
) -> Exchange:
    """Send the large photos to a full session, the others for a point cloud, and fetch it."""
    query = urllib.parse.urlencode({"num_max_points": points, "max_images": len(photos)})
    session = server.rest("POST", f"/ws/session/create?{query}")["session_id"]
    address = f"{server.base.replace('http', 'ws', 1)}/ws/reconstruct/{session}"
    encode = encode_binary if binary else encode_json
    async with connect(address, **CLIENT_OPTIONS) as socket:
        await receive(socket, "connected")
        for photo in photos:
            await socket.send(encode(photo))
            await receive(socket, "ack")
        await asyncio.to_thread(server.wait_until_idle)
        image = await send_to_full_session(Meter(server), socket, large, encode)
        await socket.send('{"type":"generate","incremental":false}')
        await receive(socket, "progress")
    until(lambda: server.rest("GET", f"/ws/session/{session}")["status"] != "processing")
    server.wait_until_idle()
    meter = Meter(server)
    flag = "true" if binary else "false"
    async with connect(f"{address}?resume=true&binary={flag}", **CLIENT_OPTIONS) as socket:
        await receive(socket, "connected")
        received = await socket.recv()
        glb = decode_binary(received) if isinstance(received, bytes) else decode_json(received)
        result = meter.cost(len(received), 1)
    assert glb[:4] == b"glTF"
    server.rest("DELETE", f"/ws/session/{session}")
    return Exchange(image, result)


async def send_to_full_session(
    meter: Meter,
    socket: ClientConnection,
    photos: list[Photo],
    encode: Callable[[Photo], str | bytes],
) -> Cost:
    """Send photos to a session that has reached its image limit."""
    size = 0
    for photo in photos:
        message = encode(photo)
        size += len(message)
        await socket.send(message)
        await receive(socket, "error")
    return meter.cost(size / len(photos), len(photos))


def encode_json(photo: Photo) -> str:
    """Encode a photo as base64 in JSON."""
    data = base64.b64encode(photo.data).decode()
    return json.dumps({"type": "image", "data": data, "filename": photo.name})


def encode_binary(photo: Photo) -> bytes:
    """Encode a photo as a binary message."""
    header = json.dumps({"type": "image", "filename": photo.name}).encode()
    return PREFIX.pack(b"PSB", 1, len(header)) + header + photo.data


def decode_json(message: str) -> bytes:
    """Decode the GLB of a result in JSON."""
    return base64.b64decode(json.loads(message)["glb_base64"])


def decode_binary(message: bytes) -> bytes:
    """Decode the GLB of a binary result."""
    _, _, length = PREFIX.unpack_from(message)
    json.loads(message[PREFIX.size : PREFIX.size + length])
    return message[PREFIX.size + length :]


@dataclass
class WireReport:
    """Medians over the runs."""

    runs: int
    photo_bytes: int
    json: Exchange
    binary: Exchange

    def as_table(self) -> str:
        """Format the report as a table."""
        lines = [
            f"images of {self.photo_bytes / 1e6:.1f} MB and one result, CPU time of each message, "
            f"medians of {self.runs} runs",
            "",
            f"{'':26} {'JSON':>10} {'binary':>10}  saved",
        ]
        for name, plain, binary in (
            ("image", self.json.image, self.binary.image),
            ("result", self.json.result, self.binary.result),
        ):
            lines += [
                _line(f"{name}: megabytes", plain.bytes / 1e6, binary.bytes / 1e6),
                _line(f"{name}: client, ms", 1e3 * plain.client, 1e3 * binary.client),
                _line(f"{name}: server, ms", 1e3 * plain.server, 1e3 * binary.server),
            ]
        return "\n".join(lines)


def measure_wire(server: Server, photos: list[Photo], points: int, runs: int) -> WireReport:
    """Alternate between JSON and binary messages."""
    large = enlarged(photos)
    found: dict[bool, list[Exchange]] = {False: [], True: []}
    for run in range(runs + 1):
        for binary in (False, True):
            measured = asyncio.run(exchange(server, photos, large, points, binary))
            # The first run is a warm-up.
            if run > 0:
                found[binary].append(measured)
    size = statistics.mean(len(photo.data) for photo in large)
    return WireReport(runs, round(size), _median(found[False]), _median(found[True]))


def _median(exchanges: list[Exchange]) -> Exchange:
    def of(costs: list[Cost]) -> Cost:
        return Cost(
            statistics.median(cost.bytes for cost in costs),
            statistics.median(cost.client for cost in costs),
            statistics.median(cost.server for cost in costs),
        )

    return Exchange(of([one.image for one in exchanges]), of([one.result for one in exchanges]))


def _line(name: str, plain: float, binary: float) -> str:
    return f"{name:26} {plain:10.2f} {binary:10.2f} {1 - binary / plain:6.1%}"
