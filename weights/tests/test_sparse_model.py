"""The sparse reconstruction as a whole, on observations with ground truth."""

import math

import pytest
import torch

from weights.mvs import sparse
from weights.mvs.calibration import hinted_calibration
from weights.mvs.descriptor import rolled
from weights.mvs.features import unpack_features
from weights.mvs.geometry import rotation_angle, rotation_from_vector
from weights.tests.sparse_scene import (
    SIZE,
    SyntheticScene,
    feature_rows,
    generator,
    pack,
    scene,
)


@pytest.fixture(scope="module")
def reconstruct():
    return torch.jit.script(sparse.reconstruct)


def check_shapes(model, frames: int) -> None:
    tracks = model.points.size(0)
    assert model.rotations.shape == (frames, 3, 3) and model.rotations.dtype == torch.float64
    assert model.translations.shape == (frames, 3) and model.translations.dtype == torch.float64
    assert model.focal.shape == (frames,) and (model.focal > 0).all()
    assert model.bend.shape == (frames,)
    assert model.report.shape == (frames, 8) and model.report.dtype == torch.float32
    assert model.registered.shape == (frames,) and model.registered.dtype == torch.bool
    assert model.points.shape == (tracks, 3)
    assert model.visible.shape == (tracks, frames) and model.visible.dtype == torch.bool
    assert model.reliability.shape == (frames,) and model.reliability.dtype == torch.float32
    for value in model:
        assert torch.isfinite(value).all()
    assert (model.reliability >= 0).all() and (model.reliability <= 1).all()


def errors_of(model, truth: SyntheticScene) -> tuple[float, float]:
    """Largest rotation error and translation direction error to the first frame in degrees."""
    turn = rotation_angle(model.rotations.transpose(1, 2) @ truth.rotations)
    cosine = torch.nn.functional.cosine_similarity(model.translations, truth.translations, dim=1)
    direction = torch.acos(cosine[1:].clamp(-1, 1))
    return math.degrees(float(turn.max())), math.degrees(float(direction.max()))


@pytest.mark.parametrize("field_of_view", [32.0, 55.0, 78.0])
def test_cameras_of_five_frames(reconstruct, field_of_view):
    focal = 168.0 / math.tan(math.radians(field_of_view / 2))
    truth = scene(5, focal=focal, baseline=1.6, count=500)
    wide = truth.points - torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)
    wide[:, :2] *= 290.0 / focal
    truth = truth._replace(points=wide + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64))
    model = reconstruct(feature_rows(truth), SIZE)
    check_shapes(model, 5)
    assert model.registered.all()
    turn, direction = errors_of(model, truth)
    assert turn < 0.25 and direction < 0.8
    assert float(model.focal[0]) == pytest.approx(focal, rel=0.02)
    assert (model.reliability > 0.9).all()
    assert torch.equal(model.rotations[0], torch.eye(3, dtype=torch.float64))
    assert float(model.points[:, 2].median()) == pytest.approx(1.0, abs=1e-6)


def test_a_frame_rotated_by_a_quarter_turn(reconstruct):
    truth = scene(4, baseline=1.6)
    rows = feature_rows(truth)
    features = unpack_features(rows[2:3])
    index = torch.nonzero(features.valid[0])[:, 0]
    position = features.positions[0, index]
    # Rotated clockwise on screen: x right becomes y down.
    position = torch.stack([-position[:, 1], position[:, 0]], dim=1)
    rows[2] = pack(position, rolled(features.descriptors[0, index], 1))
    quarter = torch.tensor([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    rotations, translations = truth.rotations.clone(), truth.translations.clone()
    rotations[2], translations[2] = quarter @ rotations[2], quarter @ translations[2]
    model = reconstruct(rows, SIZE)
    assert model.registered.all()
    turn, direction = errors_of(
        model, truth._replace(rotations=rotations, translations=translations)
    )
    assert turn < 0.2 and direction < 0.8


def test_an_unrelated_frame_is_not_registered(reconstruct):
    truth = scene(4, baseline=1.6)
    rows = feature_rows(truth)
    rows[0] = feature_rows(scene(4, seed=9))[0]
    model = reconstruct(rows, SIZE)
    check_shapes(model, 4)
    assert model.registered.tolist() == [False, True, True, True]
    assert float(model.reliability[0]) == 0.0 and (model.reliability[1:] > 0.5).all()
    assert torch.equal(model.rotations[1], torch.eye(3, dtype=torch.float64))
    assert torch.equal(model.rotations[0], model.rotations[1])
    assert not model.visible[:, 0].any()


def test_outlier_correspondences_do_not_matter(reconstruct):
    truth = scene(4, baseline=1.6)
    rows = feature_rows(truth).reshape(4, -1, 131)
    random = generator(5)
    for frame in range(4):
        valid = torch.nonzero(rows[frame, :, 2] > 0)[:, 0]
        wrong = valid[torch.randperm(valid.size(0), generator=random)[: valid.size(0) // 4]]
        spread = torch.rand(wrong.size(0), 2, generator=random) - 0.5
        rows[frame, wrong, :2] = spread * torch.tensor([336.0, 252.0])
    model = reconstruct(rows.reshape(4, -1), SIZE)
    turn, direction = errors_of(model, truth)
    assert model.registered.all()
    assert turn < 0.4 and direction < 1.2


def test_the_order_of_the_photos_does_not_matter(reconstruct):
    truth = scene(6, baseline=1.6)
    rows = feature_rows(truth)
    rows[4] = feature_rows(scene(6, seed=9))[4]
    model = reconstruct(rows, SIZE)
    order = torch.tensor([0, 5, 3, 1, 4, 2])
    other = reconstruct(rows[order], SIZE)
    assert torch.equal(other.registered, model.registered[order])
    assert model.registered.sum() == 5
    # The first photo is the same, so the world and its unit are, too.
    same = other.registered
    assert torch.allclose(other.rotations[same], model.rotations[order][same], atol=1e-9)
    assert torch.allclose(other.translations[same], model.translations[order][same], atol=1e-9)


def test_two_lenses_among_the_photos_are_told_apart(reconstruct):
    truth = scene(8, baseline=2.0, count=600)
    rows = feature_rows(truth).reshape(8, -1, 131)
    zoomed = torch.arange(8) % 2 == 1
    rows[zoomed, :, :2] *= 1.6
    outside = (rows[..., :2].abs() > torch.tensor([168.0, 126.0])).any(dim=2)
    rows[outside] = 0.0
    model = reconstruct(rows.reshape(8, -1), SIZE)
    turn, direction = errors_of(model, truth)
    assert model.registered.all()
    assert turn < 0.5 and direction < 1.5
    expected = truth.focal * torch.where(zoomed, 1.6, 1.0).double()
    assert torch.allclose(model.focal, expected, rtol=0.03)


def test_hints_of_focal_lengths_are_used(reconstruct):
    """Two views of a slope determine the focal length hardly at all."""
    truth = scene(2, flat=True, baseline=0.6)
    rows = feature_rows(truth)
    posed = torch.jit.script(sparse.reconstruct_calibrated)
    hints = torch.tensor([[0.0, truth.focal, 0.03], [0.0, 0.0, 0.0]])
    model = posed(rows, hinted_calibration(hints, SIZE), SIZE)
    assert float(model.focal[0]) == pytest.approx(truth.focal, rel=0.05)
    assert float(model.focal[0]) == float(model.focal[1])


def test_hints_without_focal_lengths_change_nothing(reconstruct):
    """Photos of many sizes: a lens of its own for each would hardly be determined."""
    rows = feature_rows(scene(5, baseline=1.6))
    hints = torch.tensor([[float(number), 0.0, 0.0] for number in range(5)])
    expected = reconstruct(rows, SIZE)
    found = sparse.reconstruct_calibrated(rows, hinted_calibration(hints, SIZE), SIZE)
    assert torch.allclose(found.rotations, expected.rotations, atol=1e-9)
    assert torch.equal(found.focal, found.focal[:1].expand(5))
    # One group has a focal length: the others are one group, not three.
    hints[1] = torch.tensor([1.0, 320.0, 0.03])
    assert hinted_calibration(hints, SIZE).group.tolist() == [0, 1, 0, 0, 0]


def test_the_order_of_photos_with_hints_does_not_matter():
    rows = feature_rows(scene(6, baseline=1.6))
    hints = torch.tensor([[float(number % 2), 320.0, 0.03] for number in range(6)])
    order = torch.tensor([0, 5, 3, 1, 4, 2])
    model = sparse.reconstruct_calibrated(rows, hinted_calibration(hints, SIZE), SIZE)
    hints = hints[order]
    hints[:, 0] = 1.0 - hints[:, 0]
    other = sparse.reconstruct_calibrated(rows[order], hinted_calibration(hints, SIZE), SIZE)
    assert torch.allclose(other.translations, model.translations[order], atol=1e-9)
    assert torch.allclose(other.focal, model.focal[order], atol=1e-9)


def test_points_behind_the_first_camera_do_not_decide_the_unit(reconstruct):
    """A camera that moves backwards: most points lie between the first camera and the last one."""
    truth = scene(8, count=600)
    back = torch.linspace(0.0, 6.0, 8, dtype=torch.float64)
    random = generator(4)
    points = torch.rand(600, 3, generator=random, dtype=torch.float64) - 0.5
    points = points * torch.tensor([3.0, 2.2, 9.0]) + torch.tensor([0.0, 0.0, 0.5])
    identity = torch.eye(3, dtype=torch.float64).repeat(8, 1, 1)
    centres = torch.zeros(8, 3, dtype=torch.float64)
    centres[:, 2] = -back
    centres[:, 0] = 0.3 * back.sin()
    moved = truth._replace(rotations=identity, translations=-centres, points=points)
    model = reconstruct(feature_rows(moved), SIZE)
    assert model.registered.all()
    seen = model.visible[:, 0]
    depth = model.points[seen, 2].median()
    assert float(depth) == pytest.approx(1.0, abs=1e-6)
    assert 0.1 < float(model.translations.norm(dim=1).max()) < 50


def test_the_report_tells_a_turn_from_a_still_camera(reconstruct):
    turned = reconstruct(feature_rows(turning(5)), SIZE).report
    still = reconstruct(feature_rows(scene(5, baseline=0.01)), SIZE).report
    alone = reconstruct(feature_rows(scene(1)), SIZE).report
    assert set(turned[:, 0].tolist()) == {4.0}
    assert set(still[:, 0].tolist()) == {3.0}
    assert alone[:, 0].tolist() == [1.0] and alone[:, 1].tolist() == [-1.0]


def test_the_report_names_the_frame_that_does_not_fit(reconstruct):
    truth = scene(5, baseline=1.6)
    rows = feature_rows(truth)
    rows[2] = feature_rows(scene(5, seed=9))[2]
    report = reconstruct(rows, SIZE).report
    assert report[:, 0].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert report[:, 1].tolist() == [0.0, 0.0, -1.0, 0.0, 0.0]
    good = report[[0, 1, 3, 4]]
    assert (good[:, 2] > 50).all() and (good[:, 3] < 0.5).all()
    assert (good[:, 4] > 3).all() and (good[:, 5] < 0.05).all() and (good[:, 7] > 0.5).all()


def turning(frames: int) -> SyntheticScene:
    """A camera that only rotates."""
    truth = scene(frames, baseline=1e-9)
    angles = torch.linspace(0, 0.2, frames, dtype=torch.float64)
    axis = torch.tensor([0.2, 1.0, 0.1], dtype=torch.float64)
    return truth._replace(rotations=rotation_from_vector(angles[:, None] * axis))


@pytest.mark.parametrize("frames", [2, 5])
def test_pure_rotation_is_not_reliable(reconstruct, frames):
    model = reconstruct(feature_rows(turning(frames)), SIZE)
    check_shapes(model, frames)
    assert (model.reliability < 0.1).all()


@pytest.mark.parametrize("frames", [2, 5])
def test_an_almost_static_camera_is_not_reliable(reconstruct, frames):
    model = reconstruct(feature_rows(scene(frames, baseline=0.01)), SIZE)
    check_shapes(model, frames)
    assert (model.reliability < 0.1).all()


def test_two_views_of_a_plane_are_not_reliable(reconstruct):
    model = reconstruct(feature_rows(scene(2, flat=True, baseline=0.6)), SIZE)
    check_shapes(model, 2)
    assert (model.reliability < 0.3).all()


def test_nothing_to_match_gives_an_unknown_model(reconstruct):
    length = sparse.feature_length(252, 336)
    unrelated = torch.stack([feature_rows(scene(2, seed=seed))[0] for seed in (0, 1)])
    for rows in (torch.zeros(1, length), torch.zeros(3, length), unrelated, unrelated[:1]):
        model = reconstruct(rows, SIZE)
        check_shapes(model, rows.size(0))
        assert model.points.size(0) == 0
        assert not model.registered.any() and not model.reliability.any()


def test_equal_frames_are_not_reliable(reconstruct):
    rows = feature_rows(scene(2))[:1].repeat(3, 1)
    model = reconstruct(rows, SIZE)
    check_shapes(model, 3)
    assert not model.reliability.any()


def test_results_are_reproducible_and_do_not_use_the_global_generator(reconstruct):
    rows = feature_rows(scene(3, baseline=1.2))
    before = torch.get_rng_state()
    first, second = reconstruct(rows, SIZE), reconstruct(rows, SIZE)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    third = reconstruct(rows, SIZE)
    for one, two, three in zip(first, second, third, strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)


def test_features_can_be_scripted():
    images = torch.rand(2, 3, 56, 70, generator=generator(0))
    scripted = torch.jit.script(sparse.encode_features)
    assert torch.equal(scripted(images), sparse.encode_features(images))
    assert torch.jit.script(sparse.feature_length)(56, 70) == sparse.feature_length(56, 70)
