"""The benchmark of streams compares results with the truth correctly."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from integration.bench.stream.accuracy import Arrays, Truth
from integration.bench.stream.picture import from_above
from weights.scenes.walk import WalkSettings, write_walk

FRAMES = 8


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("walk")
    write_walk(folder, WalkSettings(frames=FRAMES, width=56, height=42, step=0.4))
    return Truth.of(folder, FRAMES)


def metadata(truth: Truth, order: list[int]) -> dict:
    """Metadata of an exact result in another world and unit."""
    turn = np.array([[0.0, -1, 0, 2], [1, 0, 0, -3], [0, 0, 1, 1], [0, 0, 0, 1]])
    matrices = []
    for index in order:
        matrix = np.eye(4)
        matrix[:3] = truth.photos.extrinsics[index]
        matrix = matrix @ turn
        matrix[:3, 3] *= 0.25
        matrices.append(matrix.tolist())
    names = [truth.photos.paths[index].name for index in order]
    return {"frames": names, "extrinsics": matrices, "unregistered_frames": []}


def names(truth: Truth, order: list[int]) -> list[str]:
    return [truth.photos.paths[index].name for index in order]


@pytest.mark.parametrize("order", [list(range(FRAMES)), [3, 0, 7, 5, 1, 2, 6, 4]])
def test_an_exact_result_has_no_error_in_any_order(truth: Truth, order: list[int]) -> None:
    scores = truth.poses(metadata(truth, order), names(truth, order))
    assert scores.placed == scores.frames == FRAMES
    assert scores.auc5 == 1.0
    assert scores.position < 1e-6


def test_a_wrong_camera_and_a_lost_one_count(truth: Truth) -> None:
    order = list(range(FRAMES))
    found = metadata(truth, order)
    found["extrinsics"][4][0][3] += 0.2
    wrong = truth.poses(found, names(truth, order))
    assert wrong.auc5 < 0.9
    assert 0.005 < wrong.position < 0.2
    found = metadata(truth, order)
    found["unregistered_frames"] = [found["frames"][4]]
    lost = truth.poses(found, names(truth, order))
    pairs = FRAMES * (FRAMES - 1) / 2
    assert lost.placed == FRAMES - 1
    assert lost.auc5 == pytest.approx(1 - (FRAMES - 1) / pairs)
    assert lost.position < 1e-6


def test_depth_has_one_scale_or_one_for_each_group(truth: Truth) -> None:
    assert truth.depth is not None
    order = list(range(FRAMES))
    depth = 0.25 * truth.depth.astype(np.float32)
    depth[4:] *= 1.2
    confidence = np.full_like(depth, 2.0)
    confidence[:, :21] = 1.0
    arrays = Arrays(names(truth, order), np.ones(FRAMES, bool), depth, confidence)
    scores = truth.depth_scores(arrays, 4)
    assert scores.own_scale < 1e-3
    assert 0.05 < scores.one_scale < 0.2
    assert scores.known == pytest.approx(0.5)


def test_a_folder_without_poses_has_no_errors(tmp_path: Path) -> None:
    for index in range(3):
        Image.new("RGB", (56, 42)).save(tmp_path / f"{index}.png")
    truth = Truth.of(tmp_path, 2)
    assert truth.depth is None
    found = {"frames": ["0.png", "1.png"], "extrinsics": [np.eye(4).tolist()] * 2}
    scores = truth.poses({**found, "unregistered_frames": ["1.png"]}, ["0.png", "1.png"])
    assert (scores.frames, scores.placed) == (2, 1)
    assert np.isnan(scores.auc5)
    assert json.dumps(scores._asdict())


def test_the_picture_shows_the_floor_plan_without_the_ceiling() -> None:
    """The floor is red, the ceiling blue; the camera walks along x at half the height."""
    rng = np.random.default_rng(0)
    x, z = rng.uniform(-2, 2, 20000), rng.uniform(-1, 1, 20000)
    floor = np.stack([x, np.full(20000, -1.0), z], axis=1)
    ceiling = floor * [1, -1, 1]
    colours = np.repeat(np.array([[255, 0, 0], [0, 0, 255]], np.uint8), 20000, axis=0)
    way = np.stack([np.linspace(-1, 1, 5), np.zeros(5), np.zeros(5)], axis=1)
    ups = np.tile([0.0, 1.0, 0.0], (5, 1))
    picture = from_above(np.concatenate([floor, ceiling]), colours, way, ups)
    assert sorted(picture.size) == pytest.approx([537, 1000], abs=8)
    pixels = np.asarray(picture).reshape(-1, 3)
    assert (pixels == [255, 0, 0]).all(axis=1).any()
    assert not (pixels == [0, 0, 255]).all(axis=1).any()
