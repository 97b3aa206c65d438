"""A picture of a result from above: points and the way of the camera."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..service import Server

WIDTH = 1000
"""Pixels of the longer side."""
BACKGROUND = (255, 255, 255)
WAY, BEGIN = (220, 30, 30), (20, 140, 20)
MARGIN = 0.04
"""Around the points, as a share of their extent."""
OUTLIERS = 0.5
"""Percent of the points on each side that do not decide what is shown."""
ABOVE = 0.4
"""How far above the cameras points are shown, as a share of the cameras' height above the floor:
what is higher is ceiling and would hide the rest."""
COLOURS = 128
"""Of the stored picture, which makes it small."""

Array = NDArray[np.float64]


def draw(server: Server, session: str, metadata: dict[str, Any], path: Path) -> None:
    """Draw the newest result of a session, whose metadata are given, into a file."""
    address = f"{server.base}/ws/session/{session}/result?format=ply"
    with urllib.request.urlopen(address, timeout=600) as response:
        points, colours = _read_ply(response.read())
    picture = from_above(points, colours, *_cameras(metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Maximum coverage keeps the colours of the few pixels of the way.
    small = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    small.save(path, optimize=True)


def from_above(
    points: Array, colours: NDArray[np.uint8], centres: Array, ups: Array
) -> Image.Image:
    """Points [P, 3] with their colours, and the way of cameras with these upward directions."""
    up = np.median(ups, axis=0)
    axes = _axes(up / np.linalg.norm(up))
    plane, height = points @ axes[:2].T, points @ axes[2]
    way, eyes = centres @ axes[:2].T, float(np.median(centres @ axes[2]))
    floor = float(np.percentile(height, 2))
    shown = height < eyes + ABOVE * (eyes - floor)
    plane, height, colours = plane[shown], height[shown], colours[shown]
    low = np.minimum(np.percentile(plane, OUTLIERS, axis=0), way.min(axis=0))
    high = np.maximum(np.percentile(plane, 100 - OUTLIERS, axis=0), way.max(axis=0))
    space = MARGIN * (high - low).max()
    low, high = low - space, high + space
    scale = WIDTH / (high - low).max()
    columns, rows = np.ceil((high - low) * scale).astype(int)

    def pixels(places: Array) -> Array:
        return np.stack([(places[:, 0] - low[0]) * scale, (high[1] - places[:, 1]) * scale], axis=1)

    image = np.full((rows, columns, 3), BACKGROUND, np.uint8)
    # High points are written last, over low ones.
    order = np.argsort(height, kind="stable")
    column, row = np.floor(pixels(plane[order])).astype(int).T
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    image[row[inside], column[inside]] = colours[order][inside]
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    stops = [tuple(stop) for stop in pixels(way)]
    pen.line(stops, fill=WAY, width=2)
    for stop, colour, radius in [*((stop, WAY, 2) for stop in stops), (stops[0], BEGIN, 6)]:
        x, y = stop
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return picture


def _axes(up: Array) -> Array:
    """Two horizontal directions and the upward one, as rows."""
    aside = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    aside /= np.linalg.norm(aside)
    return np.stack([aside, np.cross(up, aside), up])


def _cameras(metadata: dict[str, Any]) -> tuple[Array, Array]:
    """Centres and upward directions of the placed cameras in GLB coordinates, in the order of their
    names, which is that of a walk."""
    lost = set(metadata["unregistered_frames"])
    to_glb = np.array(metadata["world_to_glb"])
    placed = [
        np.array(matrix)
        for name, matrix in sorted(
            zip(metadata["frames"], metadata["extrinsics"], strict=True), key=lambda one: one[0]
        )
        if name not in lost
    ]
    poses = [to_glb @ np.linalg.inv(matrix) for matrix in placed]
    return np.array([pose[:3, 3] for pose in poses]), np.array([-pose[:3, 1] for pose in poses])


def _read_ply(data: bytes) -> tuple[Array, NDArray[np.uint8]]:
    """Positions and colours of the service's PLY."""
    header, mark, body = data.partition(b"end_header\n")
    assert mark
    count = int(header.split(b"element vertex ")[1].split()[0])
    names = ("x", "y", "z")
    record = np.dtype([*((name, "<f4") for name in names), ("rgb", "u1", 3), ("confidence", "<f4")])
    values = np.frombuffer(body, record, count)
    return np.stack([values[name] for name in names], axis=1).astype(np.float64), values["rgb"]
