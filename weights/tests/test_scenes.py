"""The renderer: photos, depth and cameras of a scene are consistent."""

from pathlib import Path as FilePath

import numpy as np
import pytest
from numpy.typing import NDArray

from weights.scenes import Look, Path, Rendering, SceneSettings, render_scene
from weights.scenes.files import read_rendering, write_rendering
from weights.scenes.textures import PATTERNS, SIZE, make_texture

SMALL = SceneSettings(views=3, width=140, height=112)


@pytest.fixture(scope="module", params=[1, 2, 3])
def rendering(request: pytest.FixtureRequest) -> Rendering:
    return render_scene(request.param, SMALL)


def unproject(rendering: Rendering, frame: int) -> NDArray[np.float64]:
    """World points [H, W, 3] of the pixels of a frame."""
    height, width = rendering.depth.shape[1:]
    v, u = np.mgrid[:height, :width].astype(np.float64)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(rendering.intrinsics).T
    rotation, translation = rendering.extrinsics[frame, :, :3], rendering.extrinsics[frame, :, 3]
    return (rays * rendering.depth[frame][..., None] - translation) @ rotation


def project(rendering: Rendering, frame: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel indices and depth [..., 3] of world points in a frame."""
    rotation, translation = rendering.extrinsics[frame, :, :3], rendering.extrinsics[frame, :, 3]
    image = (points @ rotation.T + translation) @ rendering.intrinsics.T
    return np.concatenate([image[..., :2] / image[..., 2:], image[..., 2:]], axis=-1)


def test_types_and_shapes(rendering: Rendering) -> None:
    assert rendering.images.shape == (3, 112, 140, 3)
    assert rendering.images.dtype == np.uint8
    assert rendering.depth.shape == (3, 112, 140)
    assert rendering.depth.dtype == np.float32
    assert np.isfinite(rendering.depth).all()
    assert (rendering.depth > 0).all()
    assert rendering.extrinsics.shape == (3, 3, 4)
    rotations = rendering.extrinsics[:, :, :3]
    identity = np.broadcast_to(np.eye(3), rotations.shape)
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), identity, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-5)
    assert rendering.intrinsics[0, 2] == (140 - 1) / 2
    assert rendering.intrinsics[1, 2] == (112 - 1) / 2


def test_views_agree_with_each_other(rendering: Rendering) -> None:
    """A surface seen by two cameras has the same position and colours in both."""
    projected = project(rendering, 1, unproject(rendering, 0))
    column, row = np.rint(projected[..., 0]), np.rint(projected[..., 1])
    inside = (column >= 0) & (column < 140) & (row >= 0) & (row < 112)
    assert inside.mean() > 0.2
    column, row = column[inside].astype(int), row[inside].astype(int)
    depth = projected[..., 2][inside]
    same_surface = np.abs(rendering.depth[1][row, column] / depth - 1) < 0.02
    assert same_surface.mean() > 0.6  # the others are occluded or seen at a grazing angle

    here = rendering.images[0].astype(float).mean(-1)[inside][same_surface]
    there = rendering.images[1].astype(float).mean(-1)[row, column][same_surface]
    assert np.corrcoef(here, there)[0, 1] > 0.8


def test_depth_is_exact_on_the_floor() -> None:
    """In an open scene the lowest points are on the ground, z = 0."""
    points = unproject(render_scene(5, SceneSettings(look=Look.OPEN)), 0)
    assert points[..., 2].min() > -1e-3
    assert (np.abs(points[..., 2]) < 1e-3).mean() > 0.05


def test_scenes_are_determined_by_their_seed() -> None:
    first, again, other = (render_scene(seed, SMALL) for seed in (7, 7, 8))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.depth, again.depth)
    assert not np.array_equal(first.images, other.images)


def test_field_of_view_is_horizontal() -> None:
    settings = SceneSettings(views=2, width=100, height=80, field_of_view=90.0)
    np.testing.assert_allclose(render_scene(1, settings).intrinsics[0, 0], 50, rtol=1e-6)


def test_static_camera_does_not_move_and_turning_camera_keeps_its_position() -> None:
    static = render_scene(1, SceneSettings(views=3, width=70, height=56, path=Path.STATIC))
    np.testing.assert_allclose(static.extrinsics[0], static.extrinsics[2], atol=1e-6)
    turn = render_scene(1, SceneSettings(views=3, width=70, height=56, path=Path.TURN))
    positions = -np.einsum("nji,nj->ni", turn.extrinsics[:, :, :3], turn.extrinsics[:, :, 3])
    np.testing.assert_allclose(positions[0], positions[2], atol=1e-5)
    assert not np.allclose(turn.extrinsics[0], turn.extrinsics[2], atol=0.05)


@pytest.mark.parametrize("look", list(Look))
def test_every_look_can_be_rendered(look: Look) -> None:
    rendering = render_scene(1, SceneSettings(views=2, width=70, height=56, look=look))
    assert rendering.images.std() > 1


@pytest.mark.parametrize("name", list(PATTERNS))
def test_textures_tile_without_a_seam(name: str) -> None:
    texture = make_texture(np.random.default_rng(3), name)
    assert texture.shape == (SIZE, SIZE, 3)
    assert texture.dtype == np.float32
    assert texture.min() >= 0
    assert texture.max() <= 1
    for axis in (0, 1):
        steps = np.abs(np.diff(texture, axis=axis)).mean(axis=(1 - axis, 2))
        across = np.abs(texture.take(0, axis) - texture.take(-1, axis)).mean()
        assert across < 1.5 * steps.max()


def test_rendering_round_trips_through_files(rendering: Rendering, tmp_path: FilePath) -> None:
    write_rendering(rendering, tmp_path)
    read = read_rendering(tmp_path)
    assert np.array_equal(read.images, rendering.images)
    np.testing.assert_allclose(read.depth, rendering.depth, rtol=1e-3)
    np.testing.assert_array_equal(read.extrinsics, rendering.extrinsics)
    np.testing.assert_array_equal(read.intrinsics, rendering.intrinsics)


def test_sample_scene_is_consistent() -> None:
    sample = read_rendering(FilePath(__file__).parents[2] / "examples" / "sample_scene")
    assert sample.images.shape == (8, 504, 672, 3)
    projected = project(sample, 4, unproject(sample, 3))
    column, row = np.rint(projected[..., 0]), np.rint(projected[..., 1])
    inside = (column >= 0) & (column < 672) & (row >= 0) & (row < 504)
    column, row = column[inside].astype(int), row[inside].astype(int)
    ratio = sample.depth[4][row, column] / projected[..., 2][inside]
    assert (np.abs(ratio - 1) < 0.02).mean() > 0.8
