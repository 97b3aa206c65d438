"""Random rooms with objects in them."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from weights.scenes.cameras import rotation_x, rotation_y, rotation_z
from weights.scenes.geometry import Shape, Solid, Surface
from weights.scenes.textures import SIZE, Image, make_texture, random_texture

TEXTURES = 12
"""Number of textures that the faces of a random scene share."""
MOST_OBJECTS = 12
GROUND = 4
"""The floor among the faces of a room."""
HORIZON = 90.0
"""Distance of the sky in metres."""


class Look(Enum):
    """The kind of surfaces in a random scene."""

    RICH = "rich"
    """Many textures, sometimes repeated on a wall."""
    REPEATED = "repeated"
    """One small texture tiled on everything: matches are ambiguous."""
    MIRRORED = "mirrored"
    """As `REPEATED`, with every other tile mirrored."""
    PLAIN = "plain"
    """Single colours: little to match except edges."""
    OPEN = "open"
    """As `RICH`, outdoors: objects on a plain, below an empty sky."""


@dataclass
class Light:
    """A lamp and ambient light."""

    position: NDArray[np.float64]
    ambient: float
    """The ambient share of the light, 0..1."""
    shadows: bool = False


@dataclass
class Scene:
    """A room (the first solid), the objects in it, their materials and the light."""

    solids: list[Solid]
    textures: list[Image]
    light: Light
    space: NDArray[np.float64]
    """[3]: half width, half depth and height of the space where cameras may be."""


def make_scene(rng: np.random.Generator, look: Look = Look.RICH) -> Scene:
    """A room of 4 to 10 metres, or sometimes a hall, with boxes, balls and cylinders."""
    hall = rng.random() < 0.2
    half_x, half_y = np.exp(rng.uniform(*np.log([5, 14] if hall else [2, 5]), 2))
    height = rng.uniform(4, 12) if hall else rng.uniform(2.4, 4)
    reach = 0.55 * min(half_x, half_y)
    scale = (1.6 if hall else 1.0) * min(1.0, reach / 1.3)

    one_wallpaper = rng.random() < 0.6
    walls = _surfaces(rng, hall, one_texture=False)
    if one_wallpaper:
        for wall in walls[1:4]:
            wall.texture = walls[0].texture
    room = Solid(
        Shape.ROOM,
        centre=np.array([0, 0, height / 2]),
        half=np.array([half_x, half_y, height / 2]),
        surfaces=walls,
    )
    count = int(rng.integers(4, MOST_OBJECTS + 1))
    objects = [_object(rng, reach, height, scale, hall) for _ in range(count)]
    light = Light(
        position=np.array(
            [*rng.uniform(-0.9, 0.9, 2) * [half_x, half_y], height * rng.uniform(0.6, 0.98)]
        ),
        ambient=rng.uniform(0.35, 0.75),
    )
    space = np.array([half_x, half_y, height])
    scene = Scene([room, *objects], _textures(rng, look), light, space)
    _apply_look(rng, look, scene)
    return scene


def _object(
    rng: np.random.Generator, reach: float, height: float, scale: float, hall: bool
) -> Solid:
    """One object; most stand on the floor, some float, some are tilted or thin."""
    shape = Shape(rng.choice(["box", "box", "ball", "cylinder"]))
    half = np.exp(rng.uniform(np.log(0.12), np.log(0.9), 3)) * scale
    if shape is Shape.BOX and rng.random() < 0.2:
        half[rng.integers(3)] = 0.03
    if shape is Shape.BALL:
        half = half[0] * np.exp(rng.uniform(np.log(0.75), np.log(1.33), 3))
    if shape is Shape.CYLINDER:
        half[1] = half[0]
    half[2] = min(half[2], 0.45 * height)
    pitch, roll = rng.uniform(-1.2, 1.2, 2) * (rng.random() < 0.25)
    yaw = rng.uniform(-np.pi, np.pi)
    rotation = rotation_z(np.array(yaw)) @ rotation_x(np.array(pitch)) @ rotation_y(np.array(roll))
    on_floor = rng.random() < 0.75
    extent = np.abs(rotation[2]) @ half
    level = extent if on_floor else rng.uniform(0.2, 1) * min(height, 3) * 0.8
    centre = np.array([*rng.uniform(-reach, reach, 2), level])
    return Solid(shape, centre, half, _surfaces(rng, hall, rng.random() < 0.5), rotation)


def _surfaces(rng: np.random.Generator, hall: bool, one_texture: bool) -> list[Surface]:
    """Paint for the six faces of a solid."""
    textures = rng.integers(0, TEXTURES, 6)
    if one_texture:
        textures[:] = textures[0]
    tiles = np.exp(rng.uniform(np.log(1.0), np.log(5.0), 6)) * (2 if hall else 1)
    return [
        Surface(int(texture), float(tile), (float(x), float(y)))
        for texture, tile, (x, y) in zip(textures, tiles, rng.random((6, 2)), strict=True)
    ]


def _textures(rng: np.random.Generator, look: Look) -> list[Image]:
    if look is Look.PLAIN:
        return [make_texture(rng, "plain") for _ in range(TEXTURES)]
    if look in (Look.REPEATED, Look.MIRRORED):
        return [make_texture(rng, str(rng.choice(["collage", "marble", "terrazzo"])))]
    return [random_texture(rng) for _ in range(TEXTURES)]


def _apply_look(rng: np.random.Generator, look: Look, scene: Scene) -> None:
    """Repaint ambiguous scenes in small tiles of one texture; open the room to the sky."""
    if look in (Look.REPEATED, Look.MIRRORED):
        tile = rng.uniform(0.5, 0.9) * (2 if scene.space[2] > 4 else 1)
        for solid in scene.solids:
            solid.surfaces = [
                Surface(0, tile, (0.0, 0.0), look is Look.MIRRORED) for _ in solid.surfaces
            ]
    if look is Look.OPEN:
        sky = np.broadcast_to(rng.uniform([0.5, 0.6, 0.75], [0.7, 0.8, 1.0]), (SIZE, SIZE, 3))
        scene.textures.append(sky.astype(np.float32))
        room = scene.solids[0]
        room.half, room.centre = np.full(3, HORIZON), np.array([0, 0, HORIZON])
        ground = room.surfaces[GROUND]
        room.surfaces = [Surface(TEXTURES, HORIZON) for _ in room.surfaces]
        room.surfaces[GROUND] = ground
