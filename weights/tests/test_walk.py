"""The walk through a house: files, poses and depth belong together."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weights.evaluation.photos import read_folder
from weights.scenes.house import DOOR_WIDTH, DOORS, HALF, WALL, make_house
from weights.scenes.render import View, trace
from weights.scenes.walk import WalkSettings, read_depth, walk_cameras, write_walk

SMALL = WalkSettings(frames=6, width=84, height=60, step=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    write_walk(folder, SMALL)
    return folder


def test_the_folder_is_one_of_photos_with_a_reference(folder: Path) -> None:
    photos = read_folder(folder, SMALL.frames)
    assert [path.name for path in photos.paths] == [f"{index:04d}.jpg" for index in range(6)]
    assert photos.size == (84, 60)
    assert photos.referenced.all()
    assert Image.open(photos.paths[0]).size == (84, 60)
    steps = np.linalg.norm(np.diff(photos.centres(), axis=0), axis=1)
    np.testing.assert_allclose(steps, SMALL.step, rtol=0.2)


def test_depth_and_poses_show_one_surface(folder: Path) -> None:
    """A pixel of one frame has the same depth in the next frame that sees it."""
    photos, depth = read_folder(folder, SMALL.frames), read_depth(folder).astype(np.float64)
    assert depth.shape == (6, 60, 84)
    v, u = np.mgrid[:60, :84] + 0.5
    rays = photos.rays(np.stack([u, v], axis=-1))
    points = np.concatenate([rays, np.ones((60, 84, 1))], axis=-1) * depth[0][..., None]
    world = (points - photos.extrinsics[0, :, 3]) @ photos.extrinsics[0, :, :3]
    seen = world @ photos.extrinsics[1, :, :3].T + photos.extrinsics[1, :, 3]
    pixel = seen[..., :2] / seen[..., 2:] * photos.focal + np.array(photos.size) / 2
    column, row = np.floor(pixel).astype(int).reshape(-1, 2).T
    inside = (column >= 0) & (column < 84) & (row >= 0) & (row < 60)
    ratio = depth[1][row[inside], column[inside]] / seen[..., 2].reshape(-1)[inside]
    assert inside.mean() > 0.5
    assert (np.abs(ratio - 1) < 0.03).mean() > 0.85


def test_a_walk_is_determined_by_its_settings(folder: Path, tmp_path: Path) -> None:
    write_walk(tmp_path, SMALL)
    for name in ("0003.jpg", "colmap.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert np.array_equal(read_depth(tmp_path), read_depth(folder))


def test_a_long_walk_goes_round_and_through_the_doors_without_touching_a_wall() -> None:
    settings = WalkSettings(frames=400, width=28, height=20)
    rng = np.random.default_rng([settings.seed, 1])
    scene = make_house(rng)
    cameras = walk_cameras(rng, settings)
    x, y, z = cameras.positions().T
    assert (np.abs(x) < HALF[0]).all()
    assert (np.abs(y) < HALF[1]).all()
    assert ((z > 1) & (z < 2)).all()
    turns = np.unwrap(np.arctan2(y, x))[[0, -1]]
    assert turns[1] - turns[0] > 4 * np.pi
    for across, along, door in ((x, y, DOORS[1]), (y, x, DOORS[0])):
        within = np.abs(across) < WALL
        gap = np.abs(np.abs(along[within]) - door)
        assert (gap < DOOR_WIDTH / 2 - 0.1).all()
    for index in range(0, 400, 20):
        assert float(trace(scene.solids, View(cameras, index, 28, 20)).depth.min()) > 0.1


def test_the_reference_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with it is complete: an interrupted rendering does not count as one."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="full"):
        write_walk(tmp_path, SMALL)
    assert not (tmp_path / "colmap.json").exists()
