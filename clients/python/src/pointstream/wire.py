"""Messages of the socket as text and as binary frames."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any

from .errors import InvalidResponseError

Message = dict[str, Any]

# The start of a binary message: three letters, version, and length of the header in bytes.
PREFIX = struct.Struct("<3sBI")
MAGIC, LAYOUT = b"PSB", 1


def encode_image(header: Message, data: bytes, binary: bool) -> str | bytes:
    """The message of an image."""
    if not binary:
        return json.dumps({**header, "data": base64.b64encode(data).decode()})
    text = json.dumps(header).encode()
    return PREFIX.pack(MAGIC, LAYOUT, len(text)) + text + data


def decode(received: str | bytes) -> Message:
    """A message of the server. The bytes of a point cloud become its field `glb`."""
    try:
        if isinstance(received, bytes):
            magic, layout, length = PREFIX.unpack_from(received)
            end = PREFIX.size + length
            if (magic, layout) != (MAGIC, LAYOUT) or end > len(received):
                raise ValueError("not a binary message of layout 1")
            message, glb = json.loads(received[PREFIX.size : end]), received[end:]
        else:
            message, glb = json.loads(received), None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise ValueError("not an object with a type")
        if glb is None and "glb_base64" in message:
            glb = base64.b64decode(message.pop("glb_base64"), validate=True)
        if glb is not None:
            message["glb"] = glb
        return message
    except (struct.error, ValueError, binascii.Error) as error:
        raise InvalidResponseError(
            f"the server sent something that is no message of the protocol ({error}); "
            "check that the address is that of a pointstream server"
        ) from error
