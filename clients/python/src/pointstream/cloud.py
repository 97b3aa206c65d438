"""A point cloud in NumPy arrays, which updates make grow.

Everything is in GLB coordinates: x right, y up, z backward as the session's first camera saw it.
The unit is arbitrary but the same in all results of the session. If `metadata["scale"]` is
`metric`, the scale of `metadata["world_to_glb"]` is units for each metre. Cameras have the axes
of OpenCV: x right, y down, z forward. Pixel (0, 0) is the centre of the top left pixel of the
processed image. Colours are sRGB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GlbError, InvalidResponseError
from .glb import Glb, Points, matrix, transform

# Between the axes of a glTF camera (x right, y up, z backward) and x right, y down, z forward.
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
NOTHING = Points(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))


@dataclass(frozen=True)
class Camera:
    """Where an image was taken."""

    # The number of the image, the same in all results of a session, and its name.
    number: int
    name: str
    # 4x4, a rotation and a translation: from the camera to GLB coordinates.
    camera_to_glb: NDArray[np.float64]
    # 3x3, and the radial distortion (k1, k2) of docs/formats.md.
    intrinsics: NDArray[np.float64]
    distortion: NDArray[np.float64]

    @cached_property
    def extrinsics(self) -> NDArray[np.float64]:
        """4x4, a rotation and a translation: from GLB coordinates to the camera."""
        return np.asarray(np.linalg.inv(self.camera_to_glb), dtype=np.float64)

    @property
    def center(self) -> NDArray[np.float64]:
        """Where the camera is."""
        return self.camera_to_glb[:3, 3]

    def project(self, positions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels (N, 2) and depths (N,) of points. Points behind the camera have no pixel: NaN."""
        seen = positions @ self.extrinsics[:3, :3].T + self.extrinsics[:3, 3]
        depths = seen[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            rays = np.where(depths[:, None] > 0, seen[:, :2] / depths[:, None], np.nan)
        squares = (rays**2).sum(axis=1, keepdims=True)
        k1, k2 = self.distortion
        rays = rays * (1 + k1 * squares + k2 * squares**2)
        return rays @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2], depths


@dataclass(frozen=True)
class Chunk:
    """Points that came together: those of one image. They never change, but where they are may."""

    points: Points
    # 4x4: from the coordinates of the points to GLB coordinates.
    points_to_glb: NDArray[np.float64]


@dataclass(frozen=True)
class _Content:
    """What a cloud has at a moment."""

    number: int | None
    chunks: dict[int, Chunk]
    cameras: dict[int, Camera]

    @cached_property
    def joined(self) -> Points:
        """All points in GLB coordinates. Kept, since joining copies each of them."""
        chunks = [self.chunks[number] for number in sorted(self.chunks)]
        positions = [transform(one.points.positions, one.points_to_glb) for one in chunks]
        return Points(
            np.concatenate([NOTHING.positions, *positions]),
            np.concatenate([NOTHING.colors, *(one.points.colors for one in chunks)]),
        )


class Cloud:
    """Points and cameras in one world.

    Reading is safe while another thread applies an update: `points` has positions and colours of
    one moment.
    """

    def __init__(self) -> None:
        # Replaced as a whole, so that nobody sees half an update.
        self._content = _Content(None, {}, {})

    @classmethod
    def from_glb(cls, data: bytes) -> Cloud:
        """The cloud of a whole result."""
        glb = Glb(data)
        if any("frame" in node.get("extras", {}) for node in glb.nodes):
            raise GlbError("this is the GLB of an update: apply it to the cloud that it continues")
        # A quantised cloud has the transform from its integers to GLB coordinates in the node.
        chunks = [
            Chunk(points, matrix(node))
            for node in glb.nodes
            if (points := glb.points(node)) is not None
        ]
        cameras = [_camera_of_node(node) for node in glb.nodes if "camera" in node]
        cloud = cls()
        cloud._content = _Content(
            None, dict(enumerate(chunks)), {camera.number: camera for camera in cameras}
        )
        return cloud

    def apply(self, append: Mapping[str, Any], glb: bytes) -> None:
        """Apply an update: `metadata["append"]`, and its GLB. It is applied whole or not at all."""
        parsed = Glb(glb)
        new = {
            node["extras"]["frame"]: parsed.points(node)
            for node in parsed.nodes
            if "frame" in node.get("extras", {})
        }
        try:
            chunks = {} if append["reset"] else dict(self._content.chunks)
            cameras = {} if append["reset"] else dict(self._content.cameras)
            for kept in append["kept"]:
                chunk = chunks[kept["frame"]]
                chunks[kept["frame"]] = replace(chunk, points=chunk.points.first(kept["points"]))
            for pose in append["corrections"]:
                frame = pose["frame"]
                chunks[frame] = Chunk(chunks[frame].points, _matrix(pose["points_to_glb"]))
                cameras[frame] = _camera(pose)
            for pose in append["frames"]:
                frame = pose["frame"]
                points = new.get(frame) or NOTHING
                chunks[frame] = Chunk(points, _matrix(pose["points_to_glb"]))
                cameras[frame] = _camera(pose)
            number = int(append["number"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidResponseError(f"an update does not fit ({error!r})") from error
        self._content = _Content(number, chunks, cameras)

    @property
    def number(self) -> int | None:
        """The number of the newest update that is in here."""
        return self._content.number

    @property
    def chunks(self) -> dict[int, Chunk]:
        """Points by the numbers of their images. A whole result has one chunk, number 0."""
        return dict(self._content.chunks)

    @property
    def points(self) -> Points:
        """Positions and colours in GLB coordinates."""
        return self._content.joined

    @property
    def positions(self) -> NDArray[np.float32]:
        """All points, Nx3, in GLB coordinates."""
        return self._content.joined.positions

    @property
    def colors(self) -> NDArray[np.uint8]:
        """Red, green and blue of all points, Nx3, sRGB."""
        return self._content.joined.colors

    @property
    def cameras(self) -> list[Camera]:
        """The cameras of the placed images, by their numbers."""
        content = self._content
        return [content.cameras[number] for number in sorted(content.cameras)]

    def __len__(self) -> int:
        return sum(len(chunk.points.positions) for chunk in self._content.chunks.values())


def _matrix(rows: Any) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64).reshape(4, 4)


def _camera(pose: Mapping[str, Any]) -> Camera:
    return Camera(
        int(pose["frame"]),
        str(pose["name"]),
        _matrix(pose["camera_to_glb"]),
        np.array(pose["intrinsics"], dtype=np.float64).reshape(3, 3),
        np.array(pose["distortion"], dtype=np.float64).reshape(2),
    )


def _camera_of_node(node: dict[str, Any]) -> Camera:
    try:
        extras = node["extras"]
        return Camera(
            int(extras["id"]),
            str(node.get("name", "")),
            matrix(node) @ FLIP,
            np.array(extras["intrinsics"], dtype=np.float64).reshape(3, 3),
            np.array(extras.get("distortion", (0.0, 0.0)), dtype=np.float64).reshape(2),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise GlbError(f"a camera of the GLB is damaged ({error!r})") from error
