"""A ray caster: images, exact depth and exact cameras of a scene."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from weights.scenes.cameras import Cameras
from weights.scenes.geometry import NEAR, Shape, Solid, Surface, intersect, surface_coordinates
from weights.scenes.scene import Light, Scene
from weights.scenes.textures import SIZE, Image

SAMPLES = 2
"""Samples per pixel along each axis."""
MIP_LEVELS = 8


@dataclass
class Rendering:
    """`N` photos of a scene with ground truth."""

    images: NDArray[np.uint8]
    """[N, H, W, 3], RGB."""
    depth: NDArray[np.float32]
    """[N, H, W], z in the camera frame at the centre of each pixel, in metres."""
    extrinsics: NDArray[np.float32]
    """[N, 3, 4], world to camera: x right, y down, z forward."""
    intrinsics: NDArray[np.float32]
    """[3, 3], to pixel indices: the centre of the top left pixel is (0, 0)."""


def render(
    scene: Scene,
    cameras: Cameras,
    width: int,
    height: int,
    rng: np.random.Generator,
    noise: float = 1.5,
    exposure: float = 0.03,
) -> Rendering:
    """Render photos of a scene.

    Args:
        scene: The scene.
        cameras: Poses and field of view.
        width: Of each image, in pixels.
        height: Of each image, in pixels.
        rng: Random generator for sensor noise and exposure.
        noise: Standard deviation of the sensor's noise in grey levels.
        exposure: Relative standard deviation of the brightness between the photos.
    """
    frames = list(render_frames(scene, cameras, width, height, rng, noise, exposure))
    return Rendering(
        images=np.stack([image for image, _ in frames]),
        depth=np.stack([depth for _, depth in frames]),
        extrinsics=cameras.extrinsics(),
        intrinsics=cameras.intrinsics(width, height),
    )


def render_frames(
    scene: Scene,
    cameras: Cameras,
    width: int,
    height: int,
    rng: np.random.Generator,
    noise: float = 1.5,
    exposure: float = 0.03,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Render the photos of `render` one by one: image [H, W, 3] and depth [H, W]."""
    textures = TexturePyramid(scene.textures)
    for index in range(len(cameras.rotations)):
        depth = trace(scene.solids, View(cameras, index, width, height)).depth.numpy()
        fine = View(cameras, index, width, height, SAMPLES)
        colour = _shade(scene, textures, fine, trace(scene.solids, fine))
        colour = colour.reshape(height, SAMPLES, width, SAMPLES, 3).mean((1, 3)).numpy()
        colour = 255 * colour * (1 + exposure * rng.standard_normal())
        colour = colour + noise * rng.standard_normal(colour.shape)
        yield np.clip(np.rint(colour), 0, 255).astype(np.uint8), depth


class View:
    """The rays of one camera: `samples` x `samples` evenly spaced rays per pixel."""

    def __init__(
        self, cameras: Cameras, index: int, width: int, height: int, samples: int = 1
    ) -> None:
        self.rotation = cameras.rotations[index]
        self.translation = cameras.translations[index]
        self.origin = cameras.positions()[index]
        intrinsics = cameras.intrinsics(width, height).astype(np.float64)
        self.focal = float(intrinsics[0, 0])
        self.x = (_sample_positions(width, samples) - intrinsics[0, 2]) / self.focal
        self.y = (_sample_positions(height, samples) - intrinsics[1, 2]) / self.focal
        self.footprint = 1 / (self.focal * samples)
        """Distance between neighbouring rays at depth 1."""
        x = torch.tensor(self.x, dtype=torch.float32)[None, :].expand(len(self.y), -1)
        y = torch.tensor(self.y, dtype=torch.float32)[:, None].expand(-1, len(self.x))
        to_world = torch.tensor(self.rotation, dtype=torch.float32)
        self.directions = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ to_world
        """float32 [h, w, 3] in the world, scaled such that distances along them are z depths."""

    def rectangle(self, solid: Solid) -> tuple[slice, slice]:
        """Rows and columns of the rays that may hit a solid."""
        corners = solid.corners() @ self.rotation.T + self.translation
        if corners[:, 2].max() < NEAR:
            return slice(0), slice(0)
        if solid.shape is Shape.ROOM or corners[:, 2].min() < NEAR:
            return slice(None), slice(None)
        projected = corners[:, :2] / corners[:, 2:]
        (left, top), (right, bottom) = projected.min(0), projected.max(0)
        rows = np.searchsorted(self.y, [top, bottom])
        columns = np.searchsorted(self.x, [left, right])
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


def _sample_positions(length: int, samples: int) -> NDArray[np.float64]:
    """Pixel indices of the rays along one side of an image."""
    return (np.arange(length * samples) + 0.5) / samples - 0.5


@dataclass
class Hits:
    """The first intersection of each ray of a view."""

    depth: Tensor
    """float32 [h, w]."""
    solid: Tensor
    """int64 [h, w], index of the solid."""


def trace(solids: Sequence[Solid], view: View) -> Hits:
    """Intersect every ray of a view with the nearest solid."""
    shape = view.directions.shape[:2]
    depth = torch.full(shape, torch.inf)
    nearest = torch.zeros(shape, dtype=torch.int64)
    for index, solid in enumerate(solids):
        rows, columns = view.rectangle(solid)
        directions = view.directions[rows, columns]
        if directions.numel() == 0:
            continue
        to_unit = solid.to_unit()
        origin = to_unit @ torch.tensor(view.origin - solid.centre, dtype=torch.float32)
        found = intersect(solid.shape, origin, directions @ to_unit.T)
        closer = found < depth[rows, columns]
        depth[rows, columns] = torch.where(closer, found, depth[rows, columns])
        nearest[rows, columns] = torch.where(closer, index, nearest[rows, columns])
    return Hits(depth, nearest)


class TexturePyramid:
    """Mipmaps of textures."""

    def __init__(self, textures: Sequence[Image]) -> None:
        level = torch.from_numpy(np.stack(textures)).permute(0, 3, 1, 2)
        self.levels = []
        for _ in range(MIP_LEVELS):
            self.levels.append(level.permute(0, 2, 3, 1).reshape(-1, 3).contiguous())
            level = F.avg_pool2d(level, 2)

    def sample(self, surface: Surface, position: Tensor, footprint: Tensor) -> Tensor:
        """Colours [P, 3] at positions [P, 2] on a surface, averaged over footprints [P], in metres.

        Bilinear in the mipmap level whose texels are closest in size to the footprint.
        """
        tiles = position / surface.tile + torch.tensor(surface.shift)
        if surface.mirror:
            tiles = 1 - (tiles % 2 - 1).abs()
        levels = torch.log2((footprint * SIZE / surface.tile).clamp(min=1e-6)).round()
        levels = levels.clamp(0, MIP_LEVELS - 1).long()
        colours = torch.empty(len(tiles), 3)
        for level in levels.unique().tolist():
            chosen = levels == level
            colours[chosen] = self._bilinear(surface.texture, level, tiles[chosen])
        return colours

    def _bilinear(self, texture: int, level: int, tiles: Tensor) -> Tensor:
        size = SIZE >> level
        texels = (tiles % 1) * size - 0.5
        corner = texels.floor()
        weight = texels - corner
        x0, y0 = (corner.long() % size).unbind(-1)
        x1, y1 = (x0 + 1) % size, (y0 + 1) % size
        table = self.levels[level][texture * size * size : (texture + 1) * size * size]
        wx, wy = weight[:, :1], weight[:, 1:]
        top = table[y0 * size + x0] * (1 - wx) + table[y0 * size + x1] * wx
        bottom = table[y1 * size + x0] * (1 - wx) + table[y1 * size + x1] * wx
        return top * (1 - wy) + bottom * wy


def _shade(scene: Scene, textures: TexturePyramid, view: View, hits: Hits) -> Tensor:
    """Colours float32 [h, w, 3] in 0..1 of what the rays hit, lit by diffuse reflection."""
    directions = view.directions.reshape(-1, 3)
    depth = hits.depth.reshape(-1)
    origin = torch.tensor(view.origin, dtype=torch.float32)
    order = hits.solid.reshape(-1)
    image = torch.zeros(len(depth), 3)
    for index in order.unique().tolist():
        solid = scene.solids[index]
        rays = (order == index).nonzero()[:, 0]
        ray, distance = directions[rays], depth[rays]
        point = origin + ray * distance[:, None]
        centre = torch.tensor(solid.centre, dtype=torch.float32)
        face, normal, position = surface_coordinates(solid, (point - centre) @ solid.to_unit().T)
        length = ray.norm(dim=-1)
        cosine = ((normal * ray).sum(-1).abs() / length).clamp(min=0.15)
        footprint = distance * length * view.footprint / cosine.sqrt()
        colour = torch.empty(len(rays), 3)
        for number in face.unique().tolist():
            chosen = face == number
            surface = solid.surfaces[number]
            colour[chosen] = textures.sample(surface, position[chosen], footprint[chosen])
        image[rays] = colour * _brightness(scene, point, normal)[:, None]
    return image.reshape(*hits.depth.shape, 3).clamp(0, 1)


def _brightness(scene: Scene, point: Tensor, normal: Tensor) -> Tensor:
    """Light [P] that points receive: ambient light and, unless in shadow, the lamp's."""
    light: Light = scene.light
    to_lamp = torch.tensor(light.position, dtype=torch.float32) - point
    squared = (to_lamp * to_lamp).sum(-1)
    lamp = ((normal * to_lamp).sum(-1) / squared.sqrt()).clamp(min=0) * 1.2 / (1 + 0.05 * squared)
    if light.shadows:
        lamp = torch.where(_in_shadow(scene.solids[1:], point, normal, to_lamp), 0.0, lamp)
    return 1.15 * (light.ambient + (1 - light.ambient) * lamp)


def _in_shadow(solids: Sequence[Solid], point: Tensor, normal: Tensor, to_lamp: Tensor) -> Tensor:
    """Whether a solid is between points and the lamp, bool [P]."""
    shadow = torch.zeros(len(point), dtype=torch.bool)
    start = point + 1e-3 * normal
    lamp = point[0] + to_lamp[0]
    from_lamp = -F.normalize(to_lamp, dim=-1)
    for solid in solids:
        centre = torch.tensor(solid.centre, dtype=torch.float32)
        direction = centre - lamp
        # Seen from the lamp, the solid is within a cone; only points in it need the exact test.
        sine = float(np.linalg.norm(solid.half)) / float(direction.norm())
        if sine < 1:
            cone = from_lamp @ F.normalize(direction, dim=0) > (1 - sine * sine) ** 0.5
            near = (cone & ~shadow).nonzero()[:, 0]
        else:
            near = (~shadow).nonzero()[:, 0]
        to_unit = solid.to_unit()
        local = (start[near] - centre) @ to_unit.T
        shadow[near] = intersect(solid.shape, local, to_lamp[near] @ to_unit.T) < 1
    return shadow
