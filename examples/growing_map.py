"""A point cloud that grows by updates: what a client with `deltas=append` keeps."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The header of a GLB: magic, version, length; then length and type of the JSON chunk.
HEADER = struct.Struct("<4sIIII")


@dataclass
class Frame:
    """A placed image."""

    # Its transforms and lens, as the server sends them.
    pose: dict[str, Any]
    # The number of its first points that are shown.
    points: int


class GrowingMap:
    """The frames of a map, by their numbers."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.frames: dict[int, Frame] = {}

    @property
    def num_points(self) -> int:
        """Points of all frames."""
        return sum(frame.points for frame in self.frames.values())

    def apply(self, append: dict[str, Any], glb: bytes) -> None:
        """Apply an update: `metadata.append` of a delta, and its GLB."""
        if append["reset"]:
            self.frames.clear()
        for kept in append["kept"]:
            self.frames[kept["frame"]].points = kept["points"]
        for pose in append["corrections"]:
            self.frames[pose["frame"]].pose = pose
        counts = count_points(glb)
        for pose in append["frames"]:
            self.frames[pose["frame"]] = Frame(pose, counts.get(pose["frame"], 0))
        self.number = append["number"]

    def save(self, path: Path) -> None:
        """Write where all frames are, and how many of their points are shown."""
        frames = [{**frame.pose, "points": frame.points} for frame in self.frames.values()]
        path.write_text(json.dumps({"update": self.number, "frames": frames}, indent=1) + "\n")


def count_points(glb: bytes) -> dict[int, int]:
    """Count the points of each frame in the GLB of an update."""
    *_, length, _ = HEADER.unpack_from(glb)
    document = json.loads(glb[HEADER.size : HEADER.size + length])
    nodes = document.get("nodes", [])
    counts: dict[int, int] = {}
    for node in nodes:
        frame = node.get("extras", {}).get("frame")
        if frame is None:
            continue
        # With compression the points are in a child of the frame.
        holders = [node, *(nodes[child] for child in node.get("children", []))]
        meshes = [document["meshes"][holder["mesh"]] for holder in holders if "mesh" in holder]
        primitives = [primitive for mesh in meshes for primitive in mesh["primitives"]]
        accessors = [document["accessors"][one["attributes"]["POSITION"]] for one in primitives]
        counts[frame] = sum(accessor["count"] for accessor in accessors)
    return counts
