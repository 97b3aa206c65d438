"""Errors of a reconstruction of photos against the reference poses and landmarks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weights.evaluation.landmarks import Landmarks
from weights.evaluation.photo_sets import PhotoSet
from weights.evaluation.photos import Array, Photos, centres
from weights.evaluation.preparation import Prepared
from weights.evaluation.run import Outcome
from weights.metrics import CONFIDENT, WRONG, PoseErrors, pose_errors

CLOSE = 0.05
"""Relative depth error up to which a pixel counts as right."""
LEAST_LANDMARKS = 20
"""Known pixels at landmarks without which depth is not compared."""
LARGEST_BASELINE = 1e4
"""In median depths; beyond, a reconstruction has collapsed."""
UNITS = (1e-6, 1e6)
"""Median depths outside lose digits of float32 or overflow in what follows."""
NAN = float("nan")


class Scores(NamedTuple):
    """What is known of one run; NaN where the reference says nothing."""

    frames: int
    registered: int
    auc5: float = 0.0
    """Area under the recall curve of pose errors up to 5 degrees."""
    auc30: float = 0.0
    position: float = NAN
    """RMS error of the camera centres after a similarity, as share of the path's length."""
    focal: tuple[tuple[float, int, float], ...] = ()
    """For each zoom: the zoom, its frames, and the median of focal length / truth - 1."""
    known: float = 0.0
    """Share of pixels that are known."""
    landmarks: int = 0
    """Known pixels at landmarks."""
    off: float = NAN
    """Share of these whose depth is more than `WRONG` off."""
    close: float = NAN
    """Share of these whose depth is at most `CLOSE` off."""
    collapse: str = ""
    """Why the reconstruction is of no use, or empty."""

    def worst_focal(self) -> float:
        """The largest focal error of a zoom; NaN if any is not known."""
        errors = [abs(error) for _, _, error in self.focal]
        return float(np.max(errors)) if errors else NAN


def score(
    photos: Photos,
    landmarks: Landmarks,
    chosen: PhotoSet,
    prepared: Prepared,
    outcome: Outcome | None,
) -> Scores:
    """Compare a run with the reference."""
    frames = np.array(chosen.frames)
    referenced = photos.referenced[frames]
    possible = int(referenced.sum()) >= 2
    if outcome is None:
        auc = 0.0 if possible else NAN
        return Scores(len(frames), 0, auc, auc, collapse="failed")
    finite = np.isfinite(outcome.extrinsics).all(axis=(1, 2))
    finite &= np.isfinite(outcome.intrinsics).all(axis=(1, 2))
    placed = outcome.registered & finite
    truth = photos.extrinsics[frames]
    errors = _pose_errors(outcome, placed, truth, referenced) if possible else None
    known = outcome.confidence >= CONFIDENT
    count, off, close = _depth_shares(landmarks, chosen, prepared, outcome, placed)
    return Scores(
        frames=len(frames),
        registered=int(outcome.registered.sum()),
        auc5=errors.auc(5) if errors else NAN,
        auc30=errors.auc(30) if errors else NAN,
        position=_position(photos, frames, outcome, placed & referenced),
        focal=_focal(photos, chosen, prepared, outcome, placed),
        known=float(known.mean()),
        landmarks=count,
        off=off,
        close=close,
        collapse=collapse(outcome),
    )


def collapse(outcome: Outcome) -> str:
    """Why a reconstruction is of no use; empty if it may be."""
    registered = outcome.registered
    if not all(np.isfinite(values).all() for values in outcome[:4]):
        return "not finite"
    if not registered.any():
        return ""
    known = (outcome.confidence >= CONFIDENT) & registered[:, None, None]
    depth = outcome.depth[known] if known.any() else outcome.depth[registered]
    median = float(np.median(depth))
    if not UNITS[0] < median < UNITS[1]:
        return "unit"
    position = centres(outcome.extrinsics[registered].astype(np.float64))
    baseline = np.linalg.norm(position - position[0], axis=1).max()
    if baseline > LARGEST_BASELINE * median:
        return "far cameras"
    if known.any() and len(position) > 1 and baseline < UNITS[0] * median:
        return "no baseline"
    return ""


def umeyama(source: Array, target: Array) -> Array:
    """Move points [P, 3] by the similarity that brings them nearest to others."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, values, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (values * signs).sum() / max((a * a).sum(), 1e-300)
    return scale * a @ (u * signs @ vt).T + target.mean(axis=0)


def _pose_errors(
    outcome: Outcome, placed: NDArray[np.bool_], truth: Array, referenced: NDArray[np.bool_]
) -> PoseErrors:
    """Errors of all pairs of frames with a reference; 180 degrees if one is not registered."""
    estimated = np.where(placed[:, None, None], outcome.extrinsics, np.eye(3, 4))[referenced]
    errors = pose_errors(estimated.astype(np.float32), truth[referenced].astype(np.float32))
    first, second = np.triu_indices(int(referenced.sum()), 1)
    lost = ~(placed[referenced][first] & placed[referenced][second])
    return PoseErrors(
        np.where(lost, 180.0, errors.rotation), np.where(lost, 180.0, errors.translation)
    )


def _position(
    photos: Photos, frames: NDArray[np.int64], outcome: Outcome, compared: NDArray[np.bool_]
) -> float:
    """RMS error of centres by the length of the path, which follows the folder's order."""
    if compared.sum() < 3:
        return NAN
    truth = photos.centres()
    path = truth[np.sort(frames)]
    path = path[np.isfinite(path).all(axis=1)]
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    target = truth[frames[compared]]
    moved = umeyama(centres(outcome.extrinsics[compared].astype(np.float64)), target)
    return float(np.sqrt(((moved - target) ** 2).sum(axis=1).mean()) / max(length, 1e-300))


def _focal(
    photos: Photos,
    chosen: PhotoSet,
    prepared: Prepared,
    outcome: Outcome,
    placed: NDArray[np.bool_],
) -> tuple[tuple[float, int, float], ...]:
    """Median focal error of the registered frames of each zoom."""
    if np.isnan(photos.focal):
        return ()
    errors: dict[float, list[float]] = {device.zoom: [] for device in chosen.devices}
    for frame in np.flatnonzero(placed):
        focal = np.diagonal(outcome.intrinsics[frame])[:2].astype(np.float64)
        focal = focal / prepared.scale[frame]
        # Like with like: a model without distortion cannot have the focal length of one with it.
        bent = bool(np.any(outcome.distortion[frame] != 0))
        truth = photos.focal if bent else photos.pinhole_focal(prepared.grid(int(frame)))
        errors[chosen.devices[frame].zoom].append(float(np.sqrt(np.abs(focal.prod()))) / truth - 1)
    return tuple(
        (zoom, len(of_zoom), float(np.median(of_zoom)) if of_zoom else NAN)
        for zoom, of_zoom in sorted(errors.items())
    )


def _depth_shares(
    landmarks: Landmarks,
    chosen: PhotoSet,
    prepared: Prepared,
    outcome: Outcome,
    placed: NDArray[np.bool_],
) -> tuple[int, float, float]:
    """Known pixels at landmarks, and the shares of them that are off and close.

    One scale for the whole reconstruction: the median ratio.
    """
    observations, place = landmarks.in_frames(chosen.frames)
    pixel = np.floor(prepared.to_frame(place, landmarks.pixel[observations])).astype(np.int64)
    height, width = outcome.depth.shape[1:]
    inside = ((pixel >= 0) & (pixel < [width, height])).all(axis=1) & placed[place]
    place, (x, y) = place[inside], pixel[inside].T
    known = outcome.confidence[place, y, x] >= CONFIDENT
    depth = outcome.depth[place, y, x].astype(np.float64)
    known &= np.isfinite(depth) & (depth > 0)
    if known.sum() < LEAST_LANDMARKS:
        return int(known.sum()), NAN, NAN
    ratio = landmarks.depth[observations[inside]][known] / depth[known]
    errors = np.abs(np.median(ratio) / ratio - 1)
    return len(errors), float((errors > WRONG).mean()), float((errors <= CLOSE).mean())
