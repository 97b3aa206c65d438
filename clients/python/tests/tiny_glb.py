"""Writes GLB files as the server does, with points of our choice."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np


def whole(positions: Any, colors: Any, cameras: list[dict[str, Any]]) -> bytes:
    """A whole result."""
    return _file([({"name": "points"}, positions, colors)], cameras)


def update(frames: dict[int, tuple[Any, Any]]) -> bytes:
    """An update with the points of these frames."""
    nodes = [
        ({"name": f"frame {number}", "extras": {"frame": number, "chunk": 0}}, *points)
        for number, points in frames.items()
    ]
    return _file(nodes, [])


def _file(clouds: list[tuple[dict[str, Any], Any, Any]], cameras: list[dict[str, Any]]) -> bytes:
    binary = b""
    views, accessors, meshes, nodes = [], [], [], []

    def store(values: np.ndarray, component: int, kind: str, **extra: Any) -> int:
        nonlocal binary
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": values.nbytes})
        binary += values.tobytes()
        fields = {"bufferView": len(views) - 1, "componentType": component, "type": kind}
        accessors.append({**fields, "count": len(values), **extra})
        return len(accessors) - 1

    for node, positions, colors in clouds:
        if len(positions) > 0:
            opaque = np.c_[colors, np.full(len(colors), 255)].astype(np.uint8)
            attributes = {
                "POSITION": store(np.asarray(positions, "<f4"), 5126, "VEC3"),
                "COLOR_0": store(opaque, 5121, "VEC4", normalized=True),
            }
            meshes.append({"primitives": [{"attributes": attributes, "mode": 0}]})
            node = {**node, "mesh": len(meshes) - 1}
        nodes.append(node)
    nodes += cameras
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": list(range(len(nodes)))}],
        "nodes": nodes,
        "meshes": meshes,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
