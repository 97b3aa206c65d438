"""Solids of a scene and their intersections with rays.

The world has x and y on the floor and z up, in metres. Each solid is a unit shape in its own
frame: the box [-1, 1]^3, the unit ball, or the cylinder of radius 1 and height -1..1.
"""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NEAR = 1e-3
"""Closer hits count as the surface from which the ray starts."""


class Shape(Enum):
    """The unit shapes. A room is a box seen from inside."""

    ROOM = "room"
    BOX = "box"
    BALL = "ball"
    CYLINDER = "cylinder"


@dataclass
class Surface:
    """The material of one face: texture, size of its tile in metres, and offset."""

    texture: int
    tile: float = 2.0
    shift: tuple[float, float] = (0.0, 0.0)
    mirror: bool = False
    """Whether every other tile is mirrored."""


@dataclass
class Solid:
    """A unit shape scaled by `half`, rotated and moved to `centre`.

    `surfaces` are painted on the faces -x, +x, -y, +y, -z, +z of the shape's own frame.
    """

    shape: Shape
    centre: NDArray[np.float64]
    half: NDArray[np.float64]
    surfaces: list[Surface]
    rotation: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))

    def to_unit(self) -> Tensor:
        """float32 [3, 3]: directions of the world in the frame of the unit shape."""
        return torch.tensor(self.rotation.T / self.half[:, None], dtype=torch.float32)

    def corners(self) -> NDArray[np.float64]:
        """float64 [8, 3]: the corners of the bounding box in the world."""
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        return (signs * self.half) @ self.rotation.T + self.centre


def intersect(shape: Shape, origin: Tensor, direction: Tensor) -> Tensor:
    """Distance to a unit shape in units of `direction`'s length; infinite if the ray misses it.

    `origin` is [3] or [..., 3], `direction` [..., 3], both in the frame of the unit shape. Slabs
    for boxes, the quadratic equation for round shapes.
    """
    if shape is Shape.ROOM:
        _, leave = _slabs(origin, direction)
        return leave
    if shape is Shape.BOX:
        enter, leave = _slabs(origin, direction)
        return torch.where((enter < leave) & (enter > NEAR), enter, torch.inf)
    if shape is Shape.BALL:
        enter, _ = _round(origin, direction)
        return torch.where(enter > NEAR, enter, torch.inf)
    side_enter, side_leave = _round(origin[..., :2], direction[..., :2])
    enter, leave = _slabs(origin[..., 2:], direction[..., 2:])
    enter = torch.maximum(enter, side_enter)
    hit = (enter < torch.minimum(leave, side_leave)) & (enter > NEAR)
    return torch.where(hit, enter, torch.inf)


def _slabs(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave -1..1 on every axis at once."""
    inverse = 1 / torch.where(direction.abs() < 1e-9, 1e-9, direction)
    middle = -origin * inverse
    extent = inverse.abs()
    return (middle - extent).amax(-1), (middle + extent).amin(-1)


def _round(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave the unit circle or ball; infinity and -infinity if they miss."""
    a = (direction * direction).sum(-1)
    b = (direction * origin).sum(-1)
    c = (origin * origin).sum(-1) - 1
    discriminant = b * b - a * c
    root = discriminant.clamp(min=0).sqrt()
    missed = discriminant <= 0
    enter = torch.where(missed, torch.inf, (-b - root) / a)
    return enter, torch.where(missed, -torch.inf, (-b + root) / a)


def surface_coordinates(solid: Solid, local: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Face, normal and position on the surface of points on a solid.

    Args:
        solid: The solid.
        local: float32 [P, 3], points in the frame of the unit shape.

    Returns:
        int64 [P] index into `solid.surfaces`; float32 [P, 3] outward unit normal in the world
        (into a room); float32 [P, 2] position in metres on the face.
    """
    axis = local.abs().argmax(-1)
    normal = torch.zeros_like(local)
    if solid.shape is Shape.BALL:
        normal = local
    else:
        if solid.shape is Shape.CYLINDER:
            cap = local[:, 2].abs() > local[:, :2].norm(dim=-1)
            axis = torch.where(cap, 2, local[:, :2].abs().argmax(-1))
        normal.scatter_(1, axis[:, None], local.gather(1, axis[:, None]).sign())
        if solid.shape is Shape.CYLINDER:
            normal[~cap] = local[~cap] * torch.tensor([1.0, 1.0, 0.0])
    face = 2 * axis + (local.gather(1, axis[:, None])[:, 0] > 0).long()
    world_normal = torch.nn.functional.normalize(normal @ solid.to_unit(), dim=-1)
    if solid.shape is Shape.ROOM:
        world_normal = -world_normal
    metres = local * torch.tensor(solid.half, dtype=torch.float32)
    across = torch.where(axis == 0, metres[:, 1], metres[:, 0])
    along = torch.where(axis == 2, metres[:, 1], metres[:, 2])
    return face, world_normal, torch.stack([across, along], dim=-1)
