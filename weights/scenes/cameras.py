"""Cameras and the paths on which they move through a scene."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Path(Enum):
    """How the camera moves while the photos are taken."""

    ORBIT = "orbit"
    """Around the scene, looking at its middle."""
    SIDEWAYS = "sideways"
    DOLLY = "dolly"
    """Towards the middle or away from it."""
    PAN = "pan"
    """Turning, with a little movement."""
    WALK = "walk"
    """Forward, looking ahead."""
    FREE = "free"
    """Orbit and dolly together."""
    STATIC = "static"
    """No movement: no baseline, so depth is unobservable."""
    TURN = "turn"
    """Pure rotation: no baseline either."""


MOVING = (Path.ORBIT, Path.ORBIT, Path.SIDEWAYS, Path.DOLLY, Path.PAN, Path.WALK, Path.FREE)
"""The paths that a scene draws from; orbits are twice as frequent."""


@dataclass
class Cameras:
    """`N` pinhole cameras: x right, y down, z forward."""

    rotations: Array
    """[N, 3, 3], world to camera."""
    translations: Array
    """[N, 3], world to camera."""
    field_of_view: float
    """Horizontal, in degrees."""

    def extrinsics(self) -> NDArray[np.float32]:
        """float32 [N, 3, 4], world to camera."""
        matrices = np.concatenate([self.rotations, self.translations[:, :, None]], axis=2)
        return matrices.astype(np.float32)

    def positions(self) -> Array:
        """[N, 3], the optical centres in the world."""
        return -np.einsum("nji,nj->ni", self.rotations, self.translations)

    def intrinsics(self, width: int, height: int) -> NDArray[np.float32]:
        """float32 [3, 3]; maps to pixel indices, the top left pixel's centre is (0, 0)."""
        focal = width / 2 / np.tan(np.radians(self.field_of_view) / 2)
        return np.array(
            [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32
        )

    @classmethod
    def looking_at(cls, positions: Array, targets: Array, field_of_view: float) -> "Cameras":
        """Upright cameras at `positions` [N, 3] that look at `targets` [N, 3]."""
        forward = _unit(targets - positions)
        right = _unit(np.cross(forward, [0.0, 0.0, 1.0]))
        rotations = np.stack([right, np.cross(forward, right), forward], axis=1)
        return cls(rotations, -np.einsum("nij,nj->ni", rotations, positions), field_of_view)

    def turned(self, yaw: Array, pitch: Array, roll: Array) -> "Cameras":
        """Rotate each camera about its own axes by angles [N] in radians."""
        turn = rotation_y(yaw) @ rotation_x(pitch) @ rotation_z(roll)
        rotations = np.swapaxes(turn, 1, 2) @ self.rotations
        translations = -np.einsum("nij,nj->ni", rotations, self.positions())
        return Cameras(rotations, translations, self.field_of_view)


def rotation_x(angle: Array) -> Array:
    """[..., 3, 3], turns about x by `angle` [...] radians."""
    return _plane_rotation(angle, 1, 2)


def rotation_y(angle: Array) -> Array:
    """[..., 3, 3], turns about y by `angle` [...] radians."""
    return _plane_rotation(angle, 2, 0)


def rotation_z(angle: Array) -> Array:
    """[..., 3, 3], turns about z by `angle` [...] radians."""
    return _plane_rotation(angle, 0, 1)


def make_cameras(
    rng: np.random.Generator,
    path: Path,
    views: int,
    field_of_view: float,
    room: Array,
) -> Cameras:
    """Place `views` cameras along a path.

    Args:
        rng: The source of every random choice.
        path: How the camera moves.
        views: Number of cameras.
        field_of_view: Horizontal, in degrees.
        room: [3], half width, half depth and full height of the room that they must stay in.
    """
    half_x, half_y, height = room
    reach = 0.55 * min(half_x, half_y)
    target = np.array([*rng.uniform(-0.4, 0.4, 2) * reach, rng.uniform(0.2, 1.2)])
    distance = rng.uniform(0.5, 1.0) * min(1.25 * min(half_x, half_y), 6.0)
    azimuth = rng.uniform(-np.pi, np.pi)
    high = rng.random() < 0.2
    elevation = np.radians(rng.uniform(40, 70) if high else rng.uniform(-5, 45))
    sign = rng.choice([-1.0, 1.0])
    amplitude = np.exp(rng.uniform(np.log(0.35), 0))
    shake = 0.0 if path in (Path.STATIC, Path.TURN) else 1.0

    progress = (np.arange(views) + shake * rng.uniform(-0.3, 0.3, views)) / max(views - 1, 1) - 0.5
    sweep, lift, approach = 0.0, 0.0, 0.0
    slide, turn = np.zeros(3), np.zeros(2)
    follow = 0.3  # how far the target follows the slide, as a share
    if path in (Path.ORBIT, Path.FREE):
        sweep = sign * np.radians(60) * amplitude
        lift = np.radians(rng.uniform(-12, 12))
    if path in (Path.DOLLY, Path.FREE):
        approach = 0.55 * sign * amplitude
    if path is Path.SIDEWAYS:
        slide = 0.6 * distance * amplitude * _unit(rng.standard_normal(3) * [1, 1, 0.3])
        follow = 1.0
    if path is Path.PAN:
        turn = np.array([0.7 * sign * amplitude, rng.uniform(-0.2, 0.2)])
        slide = 0.12 * distance * rng.standard_normal(3)
        follow = 1.0
    if path is Path.WALK:
        approach = 0.35 * amplitude * (-1 if rng.random() < 0.8 else 1)
        slide = 0.1 * distance * rng.standard_normal(3)
        turn = 0.15 * rng.standard_normal(2)
        follow = 1.0
    if path is Path.TURN:
        turn = np.array([0.6 * sign, rng.uniform(-0.1, 0.1)])

    angle = azimuth + sweep * progress
    rise = np.clip(elevation + lift * progress, -0.15, 1.25)
    outward = np.stack(
        [np.cos(rise) * np.cos(angle), np.cos(rise) * np.sin(angle), np.sin(rise)], axis=1
    )
    radius = distance * (1 + approach * progress)
    along = slide * progress[:, None]
    positions = target + outward * radius[:, None] + along
    positions += shake * 0.015 * distance * rng.standard_normal((views, 3))
    margin = 0.15
    positions = np.clip(
        positions,
        np.array([margin - half_x, margin - half_y, margin]),
        np.array([half_x - margin, half_y - margin, height - margin]),
    )
    looked_at = target + follow * along
    looked_at = looked_at + shake * 0.03 * distance * rng.standard_normal((views, 3))
    if path is Path.WALK:
        looked_at = looked_at + outward * (radius - distance)[:, None]
    roll = np.radians(4) * (rng.standard_normal() + shake * 0.3 * rng.standard_normal(views))
    cameras = Cameras.looking_at(positions, looked_at, field_of_view)
    return cameras.turned(turn[0] * progress, turn[1] * progress, np.broadcast_to(roll, views))


def _plane_rotation(angle: Array, i: int, j: int) -> Array:
    matrix = np.zeros((*np.shape(angle), 3, 3))
    matrix[..., range(3), range(3)] = 1
    matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
    matrix[..., j, i] = np.sin(angle)
    matrix[..., i, j] = -np.sin(angle)
    return matrix


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
