"""Procedural textures: seamless square images made from noise and simple patterns.

Every pattern takes a NumPy generator and returns float32 `[SIZE, SIZE, 3]` in 0..1 that tiles
without a seam, and depends on nothing but the generator's state.
"""

import numpy as np
from numpy.typing import NDArray

SIZE = 512
"""Width and height of a texture in texels."""

Image = NDArray[np.float32]


def make_texture(rng: np.random.Generator, name: str) -> Image:
    """Generate a texture of the named pattern, one of `PATTERNS`."""
    return np.clip(PATTERNS[name](rng), 0, 1).astype(np.float32)


def random_texture(rng: np.random.Generator) -> Image:
    """Generate a texture of a random pattern; a few are nearly uniform."""
    names = list(FREQUENCIES)
    weights = np.array([FREQUENCIES[name] for name in names])
    return make_texture(rng, str(rng.choice(names, p=weights / weights.sum())))


def fractal_noise(
    rng: np.random.Generator, first: int = 2, octaves: int = 7, persistence: float = 0.7
) -> Image:
    """Value noise of several octaves, each twice as fine; mean 0, standard deviation 1."""
    return stretched_noise(rng, (first, first), octaves, persistence)


def stretched_noise(
    rng: np.random.Generator, cells: tuple[int, int], octaves: int, persistence: float
) -> Image:
    """As `fractal_noise`, with other numbers of cells down and across."""
    total = np.zeros((SIZE, SIZE), np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        rows, columns = (min(count << octave, SIZE) for count in cells)
        grid = rng.standard_normal((rows, columns)).astype(np.float32)
        total += amplitude * _enlarge(_enlarge(grid).T).T
        amplitude *= persistence
    return (total - total.mean()) / (total.std() + 1e-6)


def _enlarge(grid: Image) -> Image:
    """Enlarge the first axis to `SIZE` by smooth periodic interpolation."""
    count = grid.shape[0]
    position = np.arange(SIZE) * (count / SIZE)
    cell = position.astype(np.int64)
    fraction = (position - cell).astype(np.float32)
    weight = (fraction * fraction * (3 - 2 * fraction))[:, None]
    return grid[cell] * (1 - weight) + grid[(cell + 1) % count] * weight


def _grid() -> tuple[Image, Image]:
    """Coordinates of the texels in 0..1: y as a column, x as a row."""
    axis = ((np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)
    return axis[:, None], axis[None, :]


def _colour(rng: np.random.Generator) -> Image:
    """A random colour; half of the time a muted one."""
    if rng.random() < 0.5:
        return (rng.uniform(0.15, 0.9) + rng.normal(0, 0.07, 3)).astype(np.float32)
    return rng.uniform(0.05, 0.95, 3).astype(np.float32)


def _two_colours(rng: np.random.Generator) -> tuple[Image, Image]:
    """Two colours that differ visibly in brightness."""
    first = _colour(rng)
    second = _colour(rng)
    while abs(float(first.mean() - second.mean())) < 0.15:
        second = _colour(rng)
    return first, second


def _blend(mask: Image, first: Image, second: Image) -> Image:
    return first * mask[..., None] + second * (1 - mask[..., None])


def _grain(rng: np.random.Generator, strength: float) -> Image:
    """Fine brightness variation, as every real surface has."""
    return strength * fractal_noise(rng, 16, 5, 0.9)[..., None]


def _plaster(rng: np.random.Generator) -> Image:
    noise = fractal_noise(rng, int(rng.integers(2, 6)), 7, rng.uniform(0.55, 0.9))
    mask = 1 / (1 + np.exp(-rng.uniform(1, 4) * noise))
    return _blend(mask, *_two_colours(rng)) + _grain(rng, 0.03)


def _marble(rng: np.random.Generator) -> Image:
    y, x = _grid()
    noise = fractal_noise(rng, 2, 7, 0.6)
    waves = int(rng.integers(1, 4)) * x + int(rng.integers(1, 4)) * y
    mask = np.abs(np.sin(np.pi * (waves + rng.uniform(0.4, 0.9) * noise))) ** 0.5
    return _blend(mask, *_two_colours(rng)) + _grain(rng, 0.02)


def _terrazzo(rng: np.random.Generator) -> Image:
    base, _ = _two_colours(rng)
    image = np.broadcast_to(base, (SIZE, SIZE, 3)) + _grain(rng, 0.03)
    for _ in range(4):
        chips = fractal_noise(rng, int(rng.integers(12, 40)), 3, 0.6) > rng.uniform(1.0, 1.6)
        image = np.where(chips[..., None], _colour(rng), image)
    return image + _grain(rng, 0.03)


def _tiles(rng: np.random.Generator) -> Image:
    y, x = _grid()
    count = int(rng.integers(3, 8))
    row, column = (y * count).astype(np.int64), (x * count).astype(np.int64)
    colours = rng.integers(0, 2, (count, count))
    if count % 2 == 0 and rng.random() < 0.5:
        colours = np.add.outer(np.arange(count), np.arange(count)) % 2
    shade = rng.normal(0, 0.09, (count, count, 3)).astype(np.float32)[row, column]
    image = _blend(colours.astype(np.float32)[row, column], *_two_colours(rng)) + shade
    gap = rng.uniform(0.02, 0.06)
    grout = ((y * count) % 1 < gap) | ((x * count) % 1 < gap)
    veins = fractal_noise(rng, 4, 6, 0.75)[..., None]
    return np.where(grout[..., None], _colour(rng), image + 0.06 * veins) + _grain(rng, 0.03)


def _bricks(rng: np.random.Generator) -> Image:
    y, x = _grid()
    rows, columns = 2 * int(rng.integers(4, 8)), int(rng.integers(3, 6))
    row = np.broadcast_to((y * rows).astype(np.int64), (SIZE, SIZE))
    along = x * columns + 0.5 * (row % 2)
    column = along.astype(np.int64) % columns
    shade = rng.normal(0, 0.1, (rows, columns, 1)).astype(np.float32)[row, column]
    brick, mortar = _two_colours(rng)
    wobble = 0.02 * fractal_noise(rng, 8, 4, 0.6)
    gap = ((y * rows) % 1 < 0.14 + wobble) | (along % 1 < 0.06 + wobble)
    relief = 0.07 * fractal_noise(rng, 8, 6, 0.8)[..., None]
    return np.where(gap[..., None], mortar, brick + shade) + relief


def _planks(rng: np.random.Generator) -> Image:
    y, x = _grid()
    count = int(rng.integers(4, 9))
    row = np.broadcast_to((y * count).astype(np.int64), (SIZE, SIZE))
    fibres = stretched_noise(rng, (48, 2), 4, 0.7)
    fibres = np.stack([np.roll(fibres, shift, axis=1) for shift in rng.integers(0, SIZE, count)])[
        row, np.arange(SIZE)[:, None], np.arange(SIZE)[None, :]
    ]
    shade = rng.normal(0, 0.07, count).astype(np.float32)[row]
    wood = np.array([rng.uniform(0.4, 0.75), rng.uniform(0.28, 0.5), rng.uniform(0.12, 0.3)])
    joint = rng.random(count).astype(np.float32)[row]
    gap = ((y * count) % 1 < 0.05) | (np.abs((x - joint) % 1) < 0.006)
    knots = fractal_noise(rng, 8, 4, 0.6) > 2.2
    brightness = 1 + 0.22 * fibres + shade - 0.4 * knots
    return np.where(gap, 0.25, 1.0)[..., None] * wood * brightness[..., None]


def _mosaic(rng: np.random.Generator) -> Image:
    """Cells of the nearest of a few random points, each in its own colour."""
    y, x = _grid()
    count = int(rng.integers(15, 70))
    nearest = np.full((SIZE, SIZE), np.inf, np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    tint = _colour(rng)
    for centre_y, centre_x in rng.random((count, 2)):
        dy, dx = np.abs(y - centre_y), np.abs(x - centre_x)
        squared = np.minimum(dy, 1 - dy) ** 2 + np.minimum(dx, 1 - dx) ** 2
        closer = squared < nearest
        nearest = np.where(closer, squared, nearest)
        image = np.where(closer[..., None], 0.6 * rng.random(3) + 0.4 * tint, image)
    return image + _grain(rng, 0.04)


def _stripes(rng: np.random.Generator) -> Image:
    y, x = _grid()
    count = int(rng.integers(3, 14))
    wobble = rng.uniform(0, 0.03) * fractal_noise(rng, 3, 4, 0.5)
    mask = 0.5 + 0.5 * np.tanh(4 * np.sin(2 * np.pi * count * (x + 0 * y + wobble)))
    stains = 0.08 * fractal_noise(rng, 3, 6, 0.75)[..., None]
    return _blend(mask, *_two_colours(rng)) + stains + _grain(rng, 0.03)


def _collage(rng: np.random.Generator) -> Image:
    """Overlapping rectangles and discs, like posters and labels on top of each other."""
    y, x = _grid()
    image = np.broadcast_to(_colour(rng), (SIZE, SIZE, 3)).astype(np.float32)
    for _ in range(int(rng.integers(30, 90))):
        centre_y, centre_x = rng.random(2)
        dy = np.abs((y - centre_y + 0.5) % 1 - 0.5)
        dx = np.abs((x - centre_x + 0.5) % 1 - 0.5)
        height, width = np.exp(rng.uniform(np.log(0.008), np.log(0.16), 2))
        if rng.random() < 0.6:
            inside = (dy < height) & (dx < width)
        else:
            inside = dy * dy + dx * dx < height * height
        image = np.where(inside[..., None], _colour(rng), image)
    return image + _grain(rng, 0.03)


def _plain(rng: np.random.Generator) -> Image:
    """One colour with very faint grain: almost nothing to match."""
    return np.broadcast_to(_colour(rng), (SIZE, SIZE, 3)) + _grain(rng, 0.008)


PATTERNS = {
    "bricks": _bricks,
    "collage": _collage,
    "marble": _marble,
    "mosaic": _mosaic,
    "plain": _plain,
    "planks": _planks,
    "plaster": _plaster,
    "stripes": _stripes,
    "terrazzo": _terrazzo,
    "tiles": _tiles,
}
"""The patterns by name."""

FREQUENCIES = {
    "plaster": 0.26,
    "marble": 0.1,
    "terrazzo": 0.1,
    "collage": 0.1,
    "tiles": 0.09,
    "bricks": 0.08,
    "planks": 0.09,
    "mosaic": 0.07,
    "stripes": 0.05,
    "plain": 0.06,
}
"""How often `random_texture` chooses each of them."""
