"""The sample scene, a furnished room: `python -m weights.scenes.sample examples/sample_scene`."""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weights.scenes.cameras import Cameras, rotation_x, rotation_z
from weights.scenes.files import write_rendering
from weights.scenes.geometry import Shape, Solid, Surface
from weights.scenes.render import Rendering, render
from weights.scenes.scene import Light, Scene
from weights.scenes.textures import Image, make_texture

VIEWS, WIDTH, HEIGHT = 8, 672, 504
FIELD_OF_VIEW = 62.0

PAINTS = {
    # name: pattern, seed, darkest and brightest colour (None: unchanged)
    "floor": ("planks", 5, (0.22, 0.13, 0.07), (0.74, 0.53, 0.34)),
    "bricks": ("bricks", 3, (0.33, 0.15, 0.11), (0.86, 0.74, 0.64)),
    "wall": ("plaster", 8, (0.52, 0.56, 0.5), (0.86, 0.87, 0.8)),
    "ceiling": ("plaster", 9, (0.72, 0.71, 0.68), (0.92, 0.91, 0.88)),
    "rug": ("mosaic", 4, (0.32, 0.08, 0.1), (0.95, 0.84, 0.62)),
    "oak": ("planks", 2, (0.3, 0.19, 0.1), (0.82, 0.63, 0.42)),
    "walnut": ("marble", 6, (0.2, 0.12, 0.08), (0.48, 0.3, 0.19)),
    "fabric": ("terrazzo", 11, (0.1, 0.2, 0.3), (0.55, 0.7, 0.76)),
    "cushion": ("stripes", 13, (0.6, 0.2, 0.12), (0.95, 0.83, 0.6)),
    "marble": ("marble", 21, (0.3, 0.33, 0.36), (0.95, 0.94, 0.9)),
    "leaves": ("terrazzo", 17, (0.05, 0.16, 0.05), (0.5, 0.7, 0.3)),
    "clay": ("plaster", 19, (0.42, 0.2, 0.11), (0.83, 0.5, 0.32)),
    "globe": ("plaster", 22, (0.08, 0.22, 0.45), (0.85, 0.87, 0.65)),
    "shade": ("plaster", 23, (0.7, 0.55, 0.3), (0.98, 0.9, 0.66)),
    "poster": ("collage", 46, None, None),
    "print": ("collage", 47, None, None),
    "spines": ("collage", 51, None, None),
    "tiles": ("tiles", 43, None, None),
}

Colour = tuple[float, float, float]


class Furnisher:
    """Collects solids with materials named in `PAINTS`."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.names = list(PAINTS)
        self.solids: list[Solid] = []

    def paint(self, name: str, tile: float) -> Surface:
        """A face with the named material, at a random offset so that no two faces are equal."""
        x, y = self.rng.random(2)
        return Surface(self.names.index(name), tile, (float(x), float(y)))

    def put(
        self,
        shape: Shape,
        centre: tuple[float, float, float],
        size: tuple[float, float, float],
        paint: str,
        tile: float = 1.0,
        yaw: float = 0.0,
        lean: float = 0.0,
    ) -> Solid:
        """Add a solid of full `size` in metres, leaning and then turned, in degrees."""
        turn = rotation_z(np.array(np.radians(yaw))) @ rotation_x(np.array(np.radians(lean)))
        surfaces = [self.paint(paint, tile) for _ in range(6)]
        solid = Solid(shape, np.array(centre), np.array(size) / 2, surfaces, turn)
        self.solids.append(solid)
        return solid

    def box(
        self,
        centre: tuple[float, float, float],
        size: tuple[float, float, float],
        paint: str,
        tile: float = 1.0,
        yaw: float = 0.0,
        lean: float = 0.0,
    ) -> None:
        """Add a box."""
        self.put(Shape.BOX, centre, size, paint, tile, yaw, lean)


def sample_scene() -> Scene:
    """The room: bricks and a bookcase behind, a sofa on the right, a table on a rug before."""
    furnish = Furnisher(seed=2)
    room = furnish.put(Shape.ROOM, (0, 0, 1.35), (6.4, 5.6, 2.7), "wall", 2.6)
    room.surfaces[3] = furnish.paint("bricks", 1.7)
    room.surfaces[4] = furnish.paint("floor", 1.9)
    room.surfaces[5] = furnish.paint("ceiling", 2.0)
    furnish.box((0.5, 0.5, 0.01), (2.6, 1.9, 0.02), "rug", 1.6, yaw=8)
    _bookcase(furnish)
    _sofa(furnish)
    _table(furnish)
    furnish.box((0.95, 2.77, 1.65), (1.0, 0.05, 0.72), "walnut", 0.5)
    furnish.box((0.95, 2.74, 1.65), (0.88, 0.02, 0.6), "poster", 0.95)
    furnish.box((3.17, 0.3, 1.65), (0.05, 0.9, 0.66), "walnut", 0.5)
    furnish.box((3.14, 0.3, 1.65), (0.02, 0.78, 0.54), "print", 0.8)
    _plant(furnish, 2.55, 2.2)
    furnish.put(Shape.CYLINDER, (2.1, 2.4, 0.015), (0.32, 0.32, 0.03), "walnut", 0.4)
    furnish.put(Shape.CYLINDER, (2.1, 2.4, 0.75), (0.035, 0.035, 1.5), "walnut", 0.4)
    furnish.put(Shape.CYLINDER, (2.1, 2.4, 1.6), (0.42, 0.42, 0.3), "shade", 0.6)
    furnish.box((-0.75, 1.55, 0.21), (0.46, 0.42, 0.42), "tiles", 0.7, yaw=28)
    furnish.put(Shape.BALL, (-0.75, 1.55, 0.56), (0.28, 0.28, 0.28), "globe", 0.6)
    furnish.put(Shape.BALL, (1.75, -0.55, 0.17), (0.34, 0.34, 0.34), "cushion", 0.8)
    light = Light(np.array([-0.6, -1.2, 2.5]), ambient=0.62, shadows=True)
    textures = [_painted(name) for name in furnish.names]
    return Scene(furnish.solids, textures, light, space=np.array([3.2, 2.8, 2.7]))


def sample_cameras() -> Cameras:
    """Eight steps to the right around the table, at eye level."""
    progress = np.linspace(-0.5, 0.5, VIEWS)
    rng = np.random.default_rng(7)
    angle = np.radians(235 + 46 * progress)
    target = np.array([0.75, 0.95, 0.75])
    outward = np.stack([np.cos(angle), np.sin(angle), 0.25 + 0.12 * np.cos(5 * progress)], axis=1)
    positions = target + 3.3 * outward
    targets = target + 0.08 * rng.standard_normal((VIEWS, 3))
    return Cameras.looking_at(positions, targets, FIELD_OF_VIEW)


def render_sample() -> Rendering:
    """Photos, depth and cameras of the sample scene."""
    return render(sample_scene(), sample_cameras(), WIDTH, HEIGHT, np.random.default_rng(1))


def _bookcase(furnish: Furnisher) -> None:
    """A bookcase at the back wall, with rows of books that differ in size."""
    left, right, front, back, height = -1.75, -0.25, 2.44, 2.8, 1.9
    middle, depth = (front + back) / 2, back - front
    for x in (left, right):
        furnish.box((x, middle, height / 2), (0.04, depth, height), "oak", 0.9)
    furnish.box(((left + right) / 2, back - 0.01, height / 2), (1.5, 0.02, height), "oak", 1.2)
    for level in np.linspace(0.06, height, 5):
        furnish.box(((left + right) / 2, middle, level), (1.5, depth, 0.04), "oak", 0.9)
    for shelf in np.linspace(0.06, height, 5)[:-1]:
        x = left + 0.04
        while x < right - 0.12:
            thickness, tall = furnish.rng.uniform(0.03, 0.09), furnish.rng.uniform(0.24, 0.38)
            inset = furnish.rng.uniform(0.02, 0.08)
            paint = str(furnish.rng.choice(["spines", "poster", "print", "clay", "fabric"]))
            centre = (x + thickness / 2, front + inset + 0.11, shelf + 0.02 + tall / 2)
            furnish.box(centre, (thickness, 0.22, tall), paint, 0.5)
            x += thickness + (0.004 if furnish.rng.random() < 0.9 else 0.12)


def _sofa(furnish: Furnisher) -> None:
    """A sofa along the right wall."""
    furnish.box((2.62, 0.3, 0.24), (0.9, 1.9, 0.34), "fabric", 0.8)
    furnish.box((2.98, 0.3, 0.6), (0.22, 1.9, 0.5), "fabric", 0.8)
    for y in (-0.72, 1.32):
        furnish.box((2.62, y, 0.34), (0.9, 0.18, 0.54), "fabric", 0.8)
    furnish.box((2.72, 0.95, 0.62), (0.42, 0.14, 0.42), "cushion", 0.5, yaw=62, lean=-18)
    furnish.box((2.74, -0.2, 0.62), (0.42, 0.14, 0.42), "print", 0.6, yaw=100, lean=-18)


def _table(furnish: Furnisher) -> None:
    """A low table with books, a vase and a bowl on it."""
    furnish.box((0.5, 0.45, 0.43), (1.25, 0.75, 0.05), "oak", 1.0, yaw=8)
    turn = rotation_z(np.array(np.radians(8)))
    for x, y in ((-0.55, -0.3), (0.55, -0.3), (-0.55, 0.3), (0.55, 0.3)):
        foot = turn @ np.array([x, y, 0.0]) + [0.5, 0.45, 0.21]
        furnish.put(Shape.CYLINDER, (foot[0], foot[1], 0.21), (0.06, 0.06, 0.42), "walnut", 0.3)
    furnish.box((0.16, 0.4, 0.475), (0.3, 0.22, 0.04), "poster", 0.5, yaw=20)
    furnish.box((0.17, 0.41, 0.51), (0.26, 0.19, 0.03), "print", 0.45, yaw=-8)
    furnish.put(Shape.CYLINDER, (0.62, 0.6, 0.6), (0.15, 0.15, 0.3), "marble", 0.4)
    furnish.put(Shape.BALL, (0.62, 0.6, 0.86), (0.3, 0.3, 0.26), "leaves", 0.25)
    furnish.put(Shape.BALL, (0.88, 0.35, 0.5), (0.24, 0.24, 0.14), "clay", 0.4)


def _plant(furnish: Furnisher, x: float, y: float) -> None:
    """A pot with leaves that point in all directions."""
    furnish.put(Shape.CYLINDER, (x, y, 0.2), (0.4, 0.4, 0.4), "clay", 0.6)
    for leaf in range(9):
        yaw = 40.0 * leaf
        outward = 0.16 * np.array([np.cos(np.radians(yaw - 90)), np.sin(np.radians(yaw - 90))])
        centre = (x + outward[0], y + outward[1], 0.72 + 0.05 * (leaf % 3))
        furnish.put(Shape.BALL, centre, (0.2, 0.08, 0.7), "leaves", 0.4, yaw, lean=24)


def _painted(name: str) -> Image:
    """The texture of a paint."""
    pattern, seed, dark, bright = PAINTS[name]
    image = make_texture(np.random.default_rng(seed), pattern)
    if dark is None or bright is None:
        return image
    return _between(image, dark, bright)


def _between(image: Image, dark: Colour, bright: Colour) -> NDArray[np.float32]:
    """Recolour an image by its brightness."""
    grey = image.mean(axis=2, keepdims=True)
    low, high = np.quantile(grey, [0.01, 0.99])
    weight = np.clip((grey - low) / (high - low), 0, 1)
    return (np.array(dark) * (1 - weight) + np.array(bright) * weight).astype(np.float32)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.scenes.sample", description=__doc__)
    parser.add_argument("folder", type=Path)
    write_rendering(render_sample(), parser.parse_args().folder, "jpg")


if __name__ == "__main__":
    main()
