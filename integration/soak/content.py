"""What the clients send: small images, and what the server must refuse."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from dataclasses import dataclass

from PIL import Image

from ..bench.service import ROOT, Photo

PREFIX = struct.Struct("<3sBI")
WIDTH = 168
"""Width of an image in pixels."""
SHIFT = 0.1
"""Most of an image that is cut off, so that few of them are equal."""


class Photos:
    """Small images of one scene, each a little different."""

    def __init__(self) -> None:
        paths = sorted((ROOT / "examples/sample_scene").glob("*.jpg"))
        self.images = [Image.open(path).convert("RGB") for path in paths]

    def take(self, dice: random.Random, index: int) -> Photo:
        """The image of a walk through the scene with this index."""
        image = self.images[index % len(self.images)]
        left, top = (int(dice.random() * SHIFT * side) for side in image.size)
        part = image.crop((left, top, image.width, image.height))
        small = part.resize((WIDTH, round(WIDTH * image.height / image.width)))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=85)
        return Photo(f"{index:03}.jpg", file.getvalue())


@dataclass
class Bad:
    """A message that the server must refuse with one error and no more."""

    name: str
    message: str | bytes


def bad_messages(photo: Photo) -> list[Bad]:
    """Messages outside the protocol, and images that cannot be used."""
    text = base64.b64encode(photo.data).decode()

    def image(data: object) -> str:
        return json.dumps({"type": "image", "data": data})

    def encoded(data: bytes) -> str:
        return image(base64.b64encode(data).decode())

    return [
        Bad("no JSON", "{"),
        Bad("no object", "[1, 2]"),
        Bad("empty text", ""),
        Bad("unknown type", '{"type": "dance"}'),
        Bad("no type", "{}"),
        Bad("wrong type of a field", '{"type": "generate", "incremental": "often"}'),
        Bad("image without data", '{"type": "image"}'),
        Bad("data is a number", image(5)),
        Bad("no base64", image("*" * 40)),
        Bad("no image", encoded(b"this is no image")),
        Bad("image cut off", encoded(photo.data[: len(photo.data) // 3])),
        Bad("empty image", image("")),
        Bad("enormous PNG", encoded(enormous_png())),
        Bad("text around base64", image(f"<{text}>")),
        Bad("binary without header", photo.data),
        Bad("binary of another version", b"PSB\x09\0\0\0\0"),
        Bad("binary header cut off", b"PSB\x01\xff\0\0\0{}"),
        Bad("binary with another type", binary({"type": "ping"}, b"")),
        Bad("binary with no image", binary({"type": "image"}, b"nothing")),
    ]


def image_message(photo: Photo, name: str, *, as_binary: bool) -> str | bytes:
    """A message with an image and this `id`."""
    head = {"type": "image", "filename": photo.name, "id": name}
    if as_binary:
        return binary(head, photo.data)
    return json.dumps({**head, "data": base64.b64encode(photo.data).decode()})


def binary(head: dict[str, str], data: bytes) -> bytes:
    """A binary message."""
    text = json.dumps(head).encode()
    return PREFIX.pack(b"PSB", 1, len(text)) + text + data


def enormous_png() -> bytes:
    """A PNG whose head says that it has 10^10 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_of = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_of)

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def form(files: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    """A form with images, and its content type."""
    boundary = "----pointstream-soak"
    parts = [
        b"--%b\r\nContent-Disposition: form-data; name=images; filename=%b\r\n\r\n%b\r\n"
        % (boundary.encode(), name.encode(), data)
        for name, data in files
    ]
    body = b"".join(parts) + b"--%b--\r\n" % boundary.encode()
    return body, f"multipart/form-data; boundary={boundary}"
