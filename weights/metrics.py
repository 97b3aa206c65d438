"""Errors of a reconstruction against ground truth.

World frame and unit of length of a reconstruction are arbitrary. Poses are therefore compared pair
by pair: by the error of the relative rotation and of the direction of the relative translation.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENT = 1.05
"""Minimum confidence at which the service adds a pixel to the point cloud."""
WRONG = 0.1
"""Relative depth error above which a confident pixel counts as wrong."""
AUC_LIMIT = 30
"""Degrees."""
FAILED_ROTATION = 5.0
"""Mean rotation error in degrees above which a scene counts as failed."""
FAILED_TRANSLATION = 20.0
"""Mean error of translation directions in degrees above which a scene counts as failed."""


class PoseErrors(NamedTuple):
    """Errors in degrees of all pairs of frames, each `[N (N - 1) / 2]`."""

    rotation: Array
    translation: Array

    def auc(self, limit: int = AUC_LIMIT) -> float:
        """Area under the recall curve of the larger error, at thresholds of 1..`limit` degrees."""
        errors = np.maximum(self.rotation, self.translation)
        return float(np.mean([(errors < threshold).mean() for threshold in range(1, limit + 1)]))


class DepthErrors(NamedTuple):
    """Depth errors over confident pixels."""

    abs_rel: float
    """Mean of |depth / truth - 1| after scaling by the ratio of the medians; NaN without pixels."""
    coverage: float
    """Share of all pixels that are confident."""
    wrong: float
    """Share of the confident pixels that are more than `WRONG` off; 0 if there are none."""


class SceneErrors(NamedTuple):
    """All errors of one scene."""

    poses: PoseErrors
    depth: DepthErrors
    focal: float
    """|focal length / truth - 1|."""

    def failed(self) -> bool:
        """Whether the camera errors exceed the limits above."""
        return bool(
            self.poses.rotation.mean() > FAILED_ROTATION
            or self.poses.translation.mean() > FAILED_TRANSLATION
        )


def pose_errors(estimated: NDArray[np.float32], truth: NDArray[np.float32]) -> PoseErrors:
    """Compare world-to-camera extrinsics [N, 3, 4], N >= 2."""
    first, second = np.triu_indices(len(truth), 1)
    rotation, translation = _relative(estimated.astype(np.float64), first, second)
    true_rotation, true_translation = _relative(truth.astype(np.float64), first, second)
    trace = np.einsum("pij,pij->p", rotation, true_rotation)
    rotation_error = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    lengths = np.linalg.norm(translation, axis=1) * np.linalg.norm(true_translation, axis=1)
    cosine = np.einsum("pi,pi->p", translation, true_translation) / np.maximum(lengths, 1e-12)
    translation_error = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return PoseErrors(rotation_error, translation_error)


def depth_errors(
    depth: NDArray[np.float32], confidence: NDArray[np.float32], truth: NDArray[np.float32]
) -> DepthErrors:
    """Compare depth [N, H, W] where the confidence is at least `CONFIDENT`."""
    confident = confidence >= CONFIDENT
    if not confident.any():
        return DepthErrors(float("nan"), 0.0, 0.0)
    estimated, expected = depth[confident].astype(np.float64), truth[confident].astype(np.float64)
    scaled = estimated * (np.median(expected) / np.median(estimated))
    errors = np.abs(scaled / expected - 1)
    return DepthErrors(
        abs_rel=float(errors.mean()),
        coverage=float(confident.mean()),
        wrong=float((errors > WRONG).mean()),
    )


def _relative(extrinsics: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Rotations [P, 3, 3] and translations [P, 3] from camera `first` to camera `second`."""
    rotation = extrinsics[second, :, :3] @ np.swapaxes(extrinsics[first, :, :3], 1, 2)
    moved = np.einsum("pij,pj->pi", rotation, extrinsics[first, :, 3])
    return rotation, extrinsics[second, :, 3] - moved
