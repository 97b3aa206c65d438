"""Reads the GLB files that the server writes.

General glTF libraries drop what we need, the `extras` with the exact cameras, or bring far more
dependencies than these few lines. docs/formats.md describes the files.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GlbError

HEADER = struct.Struct("<4sII")
CHUNK = struct.Struct("<I4s")
# The types of components, by their numbers in glTF.
COMPONENTS: dict[int, np.dtype[Any]] = {
    5120: np.dtype("<i1"),
    5121: np.dtype("<u1"),
    5122: np.dtype("<i2"),
    5123: np.dtype("<u2"),
    5126: np.dtype("<f4"),
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
POINTS = 0


@dataclass(frozen=True)
class Points:
    """Points with their colours, in the coordinates of a node."""

    positions: NDArray[np.float32]
    colors: NDArray[np.uint8]

    def first(self, count: int) -> Points:
        """The first so many of them."""
        return Points(self.positions[:count], self.colors[:count])


class Glb:
    """A parsed file."""

    def __init__(self, data: bytes) -> None:
        self.document, self.binary = _chunks(data)
        self.nodes: list[dict[str, Any]] = self.document.get("nodes", [])

    @property
    def extras(self) -> dict[str, Any]:
        """`asset.extras`."""
        extras: dict[str, Any] = self.document.get("asset", {}).get("extras", {})
        return extras

    def points(self, node: dict[str, Any]) -> Points | None:
        """The points of a node and of its children, in the coordinates of the node."""
        try:
            found = [part for part in self._parts(node) if part is not None]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise GlbError(f"the GLB is damaged ({error!r})") from error
        if not found:
            return None
        return Points(
            np.concatenate([part.positions for part in found]),
            np.concatenate([part.colors for part in found]),
        )

    def _parts(self, node: dict[str, Any]) -> list[Points | None]:
        own = self._mesh(node)
        children = [self.nodes[index] for index in node.get("children", [])]
        return [own, *(_moved(self._mesh(child), matrix(child)) for child in children)]

    def _mesh(self, node: dict[str, Any]) -> Points | None:
        if "mesh" not in node:
            return None
        primitives = self.document["meshes"][node["mesh"]]["primitives"]
        clouds = [one for one in primitives if one.get("mode") == POINTS]
        if not clouds:
            return None
        names = clouds[0]["attributes"]
        positions = self._accessor(names["POSITION"])
        colors = self._accessor(names["COLOR_0"])
        return Points(positions.astype(np.float32), np.ascontiguousarray(colors[:, :3], np.uint8))

    def _accessor(self, index: int) -> NDArray[Any]:
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        if "EXT_meshopt_compression" in view.get("extensions", {}):
            raise GlbError(
                "the points are compressed with meshopt, which this package does not read; create "
                "the session with glb_compression='none' or 'quantized', or download another format"
            )
        kind, width = COMPONENTS[accessor["componentType"]], WIDTHS[accessor["type"]]
        offset = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        stride = view.get("byteStride") or kind.itemsize * width
        # Checks the bounds as well.
        return np.ndarray(
            (accessor["count"], width), kind, self.binary, offset, (stride, kind.itemsize)
        )


def matrix(node: dict[str, Any]) -> NDArray[np.float64]:
    """The transform of a node to its parent, 4x4."""
    if "matrix" in node:
        # glTF writes columns.
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    result = np.eye(4)
    result[:3, :3] = rotation * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    result[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return result


def transform(positions: NDArray[Any], by: NDArray[np.float64]) -> NDArray[np.float32]:
    """Positions after a 4x4 transform, computed with 64 bits."""
    return (positions @ by[:3, :3].T + by[:3, 3]).astype(np.float32)


def _moved(points: Points | None, by: NDArray[np.float64]) -> Points | None:
    return points and Points(transform(points.positions, by), points.colors)


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        magic, version, length = HEADER.unpack_from(data)
        if (magic, version) != (b"glTF", 2) or length != len(data):
            raise ValueError("not a whole GLB of version 2")
        size, kind = CHUNK.unpack_from(data, HEADER.size)
        begin = HEADER.size + CHUNK.size
        if kind != b"JSON":
            raise ValueError("the first chunk is not JSON")
        document = json.loads(data[begin : begin + size])
        if not isinstance(document, dict):
            raise ValueError("the JSON is not an object")
        begin += size
        if begin == len(data):
            return document, b""
        size, kind = CHUNK.unpack_from(data, begin)
        begin += CHUNK.size
        if kind != b"BIN\0" or begin + size > len(data):
            raise ValueError("the second chunk is not whole binary data")
        return document, data[begin : begin + size]
    except (struct.error, ValueError) as error:
        raise GlbError(f"this is not a GLB ({error})") from error
