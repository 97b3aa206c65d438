"""A result, read from its metadata, NPZ and GLB."""

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass
class Result:
    """Arrays have one entry per frame (N) or per point (P)."""

    folder: Path
    metadata: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    positions: NDArray[np.float32]
    """[P, 3], as in the GLB."""
    colors: NDArray[np.uint8]
    """[P, 3], as in the GLB."""
    document: dict[str, Any]
    """The JSON of the GLB."""

    @staticmethod
    def load(folder: str) -> "Result":
        """Read the files of a folder."""
        path = Path(folder)
        with np.load(path / "result.npz", allow_pickle=False) as file:
            arrays = dict(file)
        document, positions, colors = read_glb((path / "result.glb").read_bytes())
        metadata = json.loads((path / "result.json").read_text())["metadata"]
        return Result(path, metadata, arrays, positions, colors, document)

    @property
    def frames(self) -> NDArray[np.uint32]:
        """The source frame of each point."""
        return self.arrays["points"][:, 0]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The confidence of each point."""
        frames = self.arrays["confidence"].reshape(len(self.arrays["depth"]), -1)
        return frames[tuple(self.arrays["points"].T)]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames."""
        _, height, width = self.arrays["depth"].shape
        return width, height

    @property
    def pixels(self) -> NDArray[np.int64]:
        """[P, 2]: column and row of the source pixel of each point."""
        rows, columns = np.divmod(self.arrays["points"][:, 1].astype(np.int64), self.size[0])
        return np.stack([columns, rows], axis=1)

    @property
    def registered(self) -> list[int]:
        """Indices of the registered frames."""
        return np.flatnonzero(self.arrays["registered"]).tolist()


def distort(points: NDArray[np.float64], k1: float, k2: float) -> NDArray[np.float64]:
    """Where points [..., 2] of the plane at depth 1 appear in it."""
    squared = (points**2).sum(-1, keepdims=True)
    return points * (1 + squared * (k1 + squared * k2))


def read_glb(data: bytes) -> tuple[dict[str, Any], NDArray[np.float32], NDArray[np.uint8]]:
    """The JSON of a GLB, and positions and colours of its points."""
    magic, version, length, json_length, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    document = json.loads(data[20 : 20 + json_length])
    binary = data[20 + json_length + 8 :]
    node = next(node for node in document["nodes"] if node["name"] == "points")
    attributes = document["meshes"][node["mesh"]]["primitives"][0]["attributes"]

    def read(name: str, dtype: type, columns: int) -> NDArray[Any]:
        accessor = document["accessors"][attributes[name]]
        offset = document["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
        values = np.frombuffer(binary, dtype, accessor["count"] * columns, offset)
        return values.reshape(-1, columns)

    return document, read("POSITION", np.float32, 3), read("COLOR_0", np.uint8, 4)[:, :3]
