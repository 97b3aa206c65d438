"""Images to send: files or bytes, with their cameras if these are known."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class KnownCamera:
    """The camera of an image.

    `intrinsics` is 3x3, in pixels of the image after EXIF orientation; (0, 0) is the centre of the
    top left pixel. `extrinsics` is 4x4, world to camera (x right, y down, z forward), in one world
    and one unit for all images. `position_deviation` and `rotation_deviation` say how far it may be
    off: standard deviations along each axis, in the unit of `extrinsics`, and about each axis, in
    degrees.
    """

    intrinsics: ArrayLike
    extrinsics: ArrayLike
    position_deviation: float | None = None
    rotation_deviation: float | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of a message."""
        fields: dict[str, Any] = {}
        for name, given, shape in (
            ("intrinsics", self.intrinsics, (3, 3)),
            ("extrinsics", self.extrinsics, (4, 4)),
        ):
            matrix = np.asarray(given, dtype=np.float64)
            if matrix.shape != shape or not np.isfinite(matrix).all():
                raise ValueError(f"{name} must be a finite matrix of shape {shape}")
            fields[name] = matrix.tolist()
        for name, deviation in (
            ("position_deviation", self.position_deviation),
            ("rotation_deviation", self.rotation_deviation),
        ):
            if deviation is None:
                continue
            if not 0 < deviation < float("inf"):
                raise ValueError(f"{name} must be a finite number above 0")
            fields[name] = float(deviation)
        return fields


@dataclass(frozen=True)
class Image:
    """An image file, as a path or as its bytes."""

    source: str | os.PathLike[str] | bytes
    # A label; by default the name of the file. The server names images without one.
    name: str | None = None
    camera: KnownCamera | None = None

    @property
    def label(self) -> str | None:
        """The name that the server gets."""
        if self.name is not None or isinstance(self.source, bytes):
            return self.name
        return Path(self.source).name

    def read(self) -> bytes:
        """The bytes of the file."""
        return self.source if isinstance(self.source, bytes) else Path(self.source).read_bytes()


ImageSource: TypeAlias = Image | str | os.PathLike[str] | bytes


def as_image(source: ImageSource) -> Image:
    """An image from whatever a caller may pass."""
    return source if isinstance(source, Image) else Image(source)
