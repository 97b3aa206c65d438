"""The metrics give the known values of synthetic errors."""

import numpy as np
import pytest
from numpy.typing import NDArray

from weights.metrics import depth_errors, pose_errors
from weights.scenes.cameras import rotation_y

DEPTH = np.linspace(1, 5, 2 * 10 * 10).reshape(2, 10, 10).astype(np.float32)
SURE = np.full_like(DEPTH, 2)


def poses() -> NDArray[np.float32]:
    """Three cameras that are neither parallel nor collinear."""
    rotations = rotation_y(np.array([0.0, 0.2, 0.5]))
    translations = np.array([[0, 0, 0], [-1, 0.2, 0], [-1.5, 0, 1.0]])[:, :, None]
    return np.concatenate([rotations, translations], axis=2).astype(np.float32)


def moved(extrinsics: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """The same cameras in another world frame and another unit of length."""
    rotation = rotation_y(np.array(0.7)).astype(np.float32)
    translation = extrinsics[:, :, :3] @ np.array([0.3, 0.1, 2.0], np.float32)
    moved = extrinsics.copy()
    moved[:, :, :3] = extrinsics[:, :, :3] @ rotation
    moved[:, :, 3] = scale * (extrinsics[:, :, 3] + translation)
    return moved


def test_frame_and_unit_of_length_do_not_matter() -> None:
    errors = pose_errors(moved(poses(), 3.0), poses())
    assert errors.rotation.max() < 0.1
    assert errors.translation.max() < 0.1
    assert errors.auc() == 1.0


def test_rotated_camera_counts_in_its_pairs() -> None:
    turned = poses()
    turn = rotation_y(np.radians(10.0)).astype(np.float32)
    turned[2] = turn @ turned[2]
    errors = pose_errors(turned, poses())
    np.testing.assert_allclose(errors.rotation, [0, 10, 10], atol=0.1)
    # Two of three pairs are only within thresholds from 10 degrees on.
    assert errors.auc() == pytest.approx(1 / 3 + 2 / 3 * 20.5 / 30, abs=0.02)


def test_opposite_translation_is_180_degrees_off() -> None:
    mirrored = poses()
    mirrored[:, :, 3] *= -1
    errors = pose_errors(mirrored, poses())
    np.testing.assert_allclose(errors.translation, 180, atol=0.1)
    assert errors.auc() == 0.0


def test_camera_that_did_not_move_has_no_direction() -> None:
    still = np.repeat(poses()[:1], 3, axis=0)
    np.testing.assert_allclose(pose_errors(still, poses()).translation, 90)


def test_scale_of_depth_does_not_matter() -> None:
    errors = depth_errors(7 * DEPTH, SURE, DEPTH)
    assert errors.abs_rel < 1e-6
    assert errors.coverage == 1
    assert errors.wrong == 0


def test_only_confident_depth_counts() -> None:
    depth, confidence = DEPTH.copy(), SURE.copy()
    depth[0, :2] *= 1.5
    confidence[0, 0] = 1.0
    errors = depth_errors(depth, confidence, DEPTH)
    assert errors.coverage == pytest.approx(0.95)
    assert errors.wrong == pytest.approx(10 / 190)
    assert errors.abs_rel == pytest.approx(0.5 * 10 / 190, rel=1e-3)


def test_depth_without_confidence_has_no_error() -> None:
    errors = depth_errors(DEPTH, np.ones_like(DEPTH), DEPTH)
    assert np.isnan(errors.abs_rel)
    assert errors.coverage == 0
    assert errors.wrong == 0
