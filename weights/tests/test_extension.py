"""Placing new frames against frames with known cameras, on observations with ground truth."""

import pytest
import torch
from torch import Tensor

from weights.mvs import extension
from weights.mvs.geometry import rotation_angle
from weights.mvs.lenses import radial_terms
from weights.mvs.sparse import pixel_threshold
from weights.tests.sparse_scene import SIZE, SyntheticScene, feature_rows, scene

THRESHOLD = pixel_threshold(SIZE)


@pytest.fixture(scope="module")
def extend():
    return torch.jit.script(extension.extend)


def placed_rows(truth: SyntheticScene, placed: list[int], bend: float = 0.0) -> Tensor:
    """Rows of cameras of which those of some frames are known."""
    frames = truth.rotations.size(0)
    rows = torch.zeros(frames, 24)
    extrinsics = torch.cat([truth.rotations, truth.translations[:, :, None]], 2)
    height, width = float(SIZE[0]), float(SIZE[1])
    values = torch.tensor([bend], dtype=torch.float64), torch.tensor([truth.focal])
    for i in placed:
        rows[i, :12] = extrinsics[i].flatten()
        rows[i, 12] = rows[i, 16] = truth.focal
        rows[i, 14], rows[i, 17] = (width - 1) / 2, (height - 1) / 2
        rows[i, 20] = rows[i, 21] = 1.0
        rows[i, 22:] = radial_terms(*values, height, width)[0]
    return rows


def no_hints(frames: int) -> Tensor:
    return torch.zeros(frames, 3)


def check_placed(model, truth: SyntheticScene, degrees: float, distance: float) -> None:
    """All frames have the true poses, in the given unit of length."""
    assert model.registered.all()
    turn = rotation_angle(model.rotations.transpose(1, 2) @ truth.rotations)
    assert torch.rad2deg(turn.max()) < degrees
    assert (model.translations - truth.translations).norm(dim=1).max() < distance


def test_new_frames_get_the_coordinates_of_the_placed_ones(extend):
    truth = scene(8, baseline=1.6, count=500)
    # Another unit and another world than a reconstruction from nothing would choose.
    moved = truth._replace(translations=truth.translations * 0.7, points=truth.points * 0.7)
    placed = [0, 2, 3, 5]
    rows = placed_rows(moved, placed)
    model = extend(feature_rows(moved), rows, no_hints(8), SIZE, THRESHOLD)
    check_placed(model, moved, 0.1, 0.005)
    for i in placed:
        assert (model.rotations[i] - moved.rotations[i]).abs().max() < 1e-6
        assert (model.translations[i] - moved.translations[i]).abs().max() < 1e-6
    assert (model.reliability[[1, 4, 6, 7]] > 0.5).all()
    assert (model.report[:, 0] == 0)[[1, 4, 6, 7]].all()
    assert model.visible.sum(1).min() >= 2


def test_new_frames_get_the_lens_of_the_placed_ones(extend):
    truth = scene(6, baseline=1.6, count=500, focal=410.0)
    model = extend(
        feature_rows(truth), placed_rows(truth, [0, 1, 2], 0.05), no_hints(6), SIZE, THRESHOLD
    )
    assert (model.focal / 410.0 - 1.0).abs().max() < 1e-4
    assert (model.bend - 0.05).abs().max() < 1e-4


def test_a_new_group_of_frames_has_a_lens_of_its_own(extend):
    truth = scene(8, baseline=1.6, count=500, focal=300.0)
    features = feature_rows(truth)
    zoomed = feature_rows(truth._replace(focal=450.0))
    features[6:] = zoomed[6:]
    hints = no_hints(8)
    hints[6:] = torch.tensor([1.0, 430.0, 0.05])
    model = extend(features, placed_rows(truth, [0, 1, 2, 3]), hints, SIZE, THRESHOLD)
    check_placed(model, truth, 0.3, 0.03)
    assert (model.focal[:6] / 300.0 - 1.0).abs().max() < 1e-4
    assert (model.focal[6:] / 450.0 - 1.0).abs().max() < 0.02


def test_a_frame_of_something_else_is_left_out(extend):
    truth = scene(6, baseline=1.6, count=500)
    features = feature_rows(truth)
    features[5] = feature_rows(scene(6, seed=9, count=500))[5]
    model = extend(features, placed_rows(truth, [0, 1, 2]), no_hints(6), SIZE, THRESHOLD)
    assert model.registered.tolist() == [True] * 5 + [False]
    assert model.report[5, 0] != 0 and model.reliability[5] == 0


@pytest.mark.parametrize("placed", [[], [0]])
def test_too_few_placed_frames_hold_no_coordinates(extend, placed):
    truth = scene(4, baseline=1.6, count=500)
    rows = placed_rows(truth, placed)
    model = extend(feature_rows(truth), rows, no_hints(4), SIZE, THRESHOLD)
    assert model.registered.tolist() == [i in placed for i in range(4)]
    for value in model:
        assert torch.isfinite(value).all()
    assert (model.report[:, 0] != 0).all()
