"""A house of four rooms with doors between them, to walk through in a circle."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from weights.scenes.cameras import rotation_z
from weights.scenes.geometry import Shape, Solid, Surface
from weights.scenes.scene import Light, Scene
from weights.scenes.textures import Image, make_texture

HALF = (6.0, 5.0)
"""Half the width and depth of the house in metres. Walls at x = 0 and y = 0 divide it."""
HEIGHT = 2.7
DOORS = (3.0, 2.5)
"""Distance of the doors from the middle: of those in the wall y = 0, and in the wall x = 0."""
DOOR_WIDTH, DOOR_HEIGHT = 1.2, 2.1
WALL = 0.06
"""Half the thickness of a wall."""
PANEL = 0.02
"""Half the thickness of what covers the floor, the ceiling and the outer walls of a room."""
PATTERNS = ("plaster", "marble", "terrazzo", "collage", "tiles", "bricks", "planks", "mosaic")
"""No single colours: everything has something to match."""
CORNER = 0.75
"""Furniture stands so far from the middle of the house at least, as a share of its half size."""

Array = NDArray[np.float64]


class Paint:
    """Textures, each of which is used once: two places look alike only by chance."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.textures: list[Image] = []

    def surface(self, tile: float) -> Surface:
        """A face with a texture of its own, repeated after `tile` metres."""
        pattern = PATTERNS[len(self.textures) % len(PATTERNS)]
        self.textures.append(make_texture(self.rng, pattern))
        shift = (float(self.rng.random()), float(self.rng.random()))
        return Surface(len(self.textures) - 1, tile, shift)

    def around(self, tile: float) -> list[Surface]:
        """The same for all faces of a solid."""
        return [self.surface(tile)] * 6


def make_house(rng: np.random.Generator) -> Scene:
    """The house, each room with furniture along its outer walls and pictures on them."""
    paint = Paint(rng)
    outside = Solid(
        Shape.ROOM,
        centre=np.array([0, 0, HEIGHT / 2]),
        half=np.array([*HALF, HEIGHT / 2]),
        surfaces=paint.around(4.0),
    )
    solids = [outside, *_inner_walls(paint)]
    for x in (-1, 1):
        for y in (-1, 1):
            solids += [*_panels(paint, x, y), *_furniture(paint, x, y), *_pictures(paint, x, y)]
    light = Light(position=np.array([0.3, 0.2, HEIGHT - 0.1]), ambient=0.7)
    return Scene(solids, paint.textures, light, np.array([*HALF, HEIGHT]))


def _inner_walls(paint: Paint) -> Iterator[Solid]:
    """The two inner walls: pieces beside the doors, and above them, with two sides each."""
    for along in (0, 1):
        end, door, gap = HALF[along], DOORS[along], DOOR_WIDTH / 2
        beside = [(-end, -door - gap), (-door + gap, door - gap), (door + gap, end)]
        above = [(-door - gap, -door + gap), (door - gap, door + gap)]
        for pieces, bottom, top in ((beside, 0.0, HEIGHT), (above, DOOR_HEIGHT, HEIGHT)):
            for begin, stop in pieces:
                centre, half = np.zeros(3), np.full(3, WALL)
                centre[along], half[along] = (begin + stop) / 2, (stop - begin) / 2
                centre[2], half[2] = (bottom + top) / 2, (top - bottom) / 2
                surfaces = paint.around(5.0)
                surfaces[2 * (1 - along)] = paint.surface(5.0)
                yield Solid(Shape.BOX, centre, half, surfaces)


def _panels(paint: Paint, x: int, y: int) -> Iterator[Solid]:
    """What covers the floor, the ceiling and the two outer walls of a room."""
    middle = np.array([x * HALF[0] / 2, y * HALF[1] / 2, HEIGHT / 2])
    extent = np.array([HALF[0] / 2, HALF[1] / 2, HEIGHT / 2])
    for axis, place in ((0, x * HALF[0]), (1, y * HALF[1]), (2, 0.0), (2, HEIGHT)):
        centre, half = middle.copy(), extent.copy()
        centre[axis], half[axis] = place, PANEL
        yield Solid(Shape.BOX, centre, half, paint.around(6.0))


def _furniture(paint: Paint, x: int, y: int) -> Iterator[Solid]:
    """A few things in the outer corner of a room, out of the way."""
    rng = paint.rng
    for _ in range(4):
        shape = Shape(rng.choice(["box", "box", "cylinder", "ball"]))
        half = rng.uniform(0.2, 0.45, 3)
        if shape is not Shape.BOX:
            half[:2] = half[0]
        if shape is not Shape.BALL:
            half[2] = rng.uniform(0.25, 0.8)
        place = rng.uniform(CORNER, 0.92, 2) * HALF * [x, y]
        rotation = rotation_z(np.array(rng.uniform(-np.pi, np.pi)))
        centre = np.array([*place, half[2]])
        yield Solid(shape, centre, half, paint.around(1.5), rotation)


def _pictures(paint: Paint, x: int, y: int) -> Iterator[Solid]:
    """Pictures on the two outer walls of a room."""
    rng = paint.rng
    for across in (0, 1):
        for position in (0.3, 0.65):
            centre, half = np.zeros(3), np.array([0.5, 0.5, 0.35]) * rng.uniform(0.7, 1.3, 3)
            side = np.array([x, y])
            centre[:2] = side * HALF * position
            centre[across], half[across] = side[across] * HALF[across], 0.04
            centre[2] = rng.uniform(1.3, 1.7)
            yield Solid(Shape.BOX, centre, half, paint.around(1.5))
