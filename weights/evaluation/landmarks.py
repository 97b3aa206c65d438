"""Points that the reference poses determine, to compare depth with.

`colmap.json` has no points, so they are triangulated again: features that match between photos and
agree with the known poses to a pixel. A model's own errors have no influence on them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from weights.evaluation.photos import Array, Photos, centres, read_photo
from weights.evaluation.report import print_progress

Indices = NDArray[np.int64]

FEATURES = 2000
"""Features per photo."""
RATIO = 0.8
"""Largest ratio of a match's distance to that of the second best one."""
LARGEST_ERROR = 1.0
"""Pixels of the reference: from the epipolar line, and of reprojection."""
LEAST_VIEWS = 3
LEAST_ANGLE = 1.5
"""Degrees between two rays of a point."""
FEW_PHOTOS = 16
"""Up to this number all pairs are matched."""
RANKS = (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36)
"""Of more photos, each is matched with those that are nearest by these ranks."""
WIDEST_TURN = 60.0
"""Degrees between the viewing directions of photos that are matched."""
ROUNDS = 3
REFINEMENTS = 5


class Landmarks(NamedTuple):
    """`M` observations of points."""

    frame: Indices
    """[M]: index of the photo."""
    point: Indices
    """[M]: index of the point."""
    pixel: Array
    """[M, 2], in pixels of the reference."""
    depth: Array
    """[M]: z in the camera frame, in the reference's unit."""

    def shared(self, frames: Sequence[int]) -> int:
        """Number of points that are seen in each of some photos."""
        seen = np.bincount(self.point[np.isin(self.frame, frames)])
        return int((seen == len(set(frames))).sum())

    def in_frames(self, frames: Sequence[int]) -> tuple[Indices, Indices]:
        """Observations in some photos, and the position of their photo in `frames`."""
        order = np.argsort(frames)
        place = np.searchsorted(np.array(frames)[order], self.frame)
        place = order[np.minimum(place, len(frames) - 1)]
        chosen = np.flatnonzero(np.array(frames)[place] == self.frame)
        return chosen, place[chosen]


class Observations(NamedTuple):
    """Features that belong to tracks, before triangulation."""

    frame: Indices
    track: Indices
    pixel: Array

    def select(self, kept: NDArray[np.bool_]) -> "Observations":
        """Only some of the observations."""
        return Observations(self.frame[kept], self.track[kept], self.pixel[kept])


def find_landmarks(photos: Photos) -> Landmarks:
    """Match features between the photos with known poses and triangulate them."""
    frames = np.flatnonzero(photos.referenced)
    features = {int(frame): _features(photos, int(frame)) for frame in frames}
    pairs = choose_pairs(photos.extrinsics[frames])
    counts = np.array([len(pixels) for pixels, _ in features.values()], np.int64)
    starts = np.cumsum(counts) - counts
    edges = [np.zeros((0, 2), np.int64)]
    for a, b in pairs:
        matches = _match(photos, features, int(frames[a]), int(frames[b]))
        edges.append(matches + np.array([starts[a], starts[b]]))
    frame = np.repeat(frames, counts)
    pixel = np.concatenate([np.zeros((0, 2)), *(points for points, _ in features.values())])
    observations = _tracks(frame, pixel, np.concatenate(edges))
    landmarks = triangulate(photos, observations)
    print_progress(
        f"{photos.name}: {landmarks.point.max(initial=-1) + 1} points with "
        f"{len(landmarks.point)} observations in {len(frames)} photos, {len(pairs)} pairs"
    )
    return landmarks


def choose_pairs(extrinsics: Array) -> list[tuple[int, int]]:
    """Pairs of cameras that look in similar directions: near ones, and some farther ones."""
    count = len(extrinsics)
    position, axis = centres(extrinsics), extrinsics[:, 2, :3]
    distance = np.linalg.norm(position[:, None] - position[None], axis=2)
    distance[axis @ axis.T < np.cos(np.radians(WIDEST_TURN))] = np.inf
    pairs = set()
    for first in range(count):
        nearest = [int(k) for k in np.argsort(distance[first], kind="stable") if k != first]
        ranks = range(1, count) if count <= FEW_PHOTOS else RANKS
        for second in (nearest[rank - 1] for rank in ranks if rank <= len(nearest)):
            if np.isfinite(distance[first, second]):
                pairs.add((min(first, second), max(first, second)))
    return sorted(pairs)


def triangulate(photos: Photos, observations: Observations) -> Landmarks:
    """Triangulate tracks; drop observations and points that do not meet the limits above."""
    limit = LARGEST_ERROR / photos.focal
    for last in (*(False,) * (ROUNDS - 1), True):
        views = np.bincount(observations.track)
        observations = observations.select(views[observations.track] >= LEAST_VIEWS)
        # Tracks without observations get a point that nothing refers to.
        points = _points(photos, observations)
        error, depth = _errors(photos, observations, points)
        good = (error < limit) & (depth > 0)
        if last or good.all():
            break
        observations = observations.select(good)
    bad = np.zeros(len(points), np.bool_)
    bad[observations.track[~good]] = True
    bad |= _angles(photos, observations, points) < LEAST_ANGLE
    kept = ~bad[observations.track]
    _, point = np.unique(observations.track[kept], return_inverse=True)
    return Landmarks(
        observations.frame[kept],
        point.astype(np.int64).reshape(-1),
        observations.pixel[kept],
        depth[kept],
    )


def _features(photos: Photos, frame: int) -> tuple[Array, NDArray[np.float32]]:
    """Pixels [F, 2] and RootSIFT descriptors [F, 128] of a photo."""
    image = read_photo(photos.paths[frame])
    detector = cv2.SIFT.create(nfeatures=FEATURES, enable_precise_upscale=True)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    keypoints, descriptors = detector.detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    scale = np.array(image.shape[1::-1]) / np.array(photos.size)
    # OpenCV puts (0, 0) at the centre of the top left pixel.
    pixels = (np.array([keypoint.pt for keypoint in keypoints]) + 0.5) / scale
    shares = descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)
    return pixels, np.sqrt(shares).astype(np.float32)


def _match(
    photos: Photos,
    features: dict[int, tuple[Array, NDArray[np.float32]]],
    first: int,
    second: int,
) -> Indices:
    """Matches [P, 2] between two photos that agree with the reference poses."""
    (pixels, descriptors), (other_pixels, other_descriptors) = features[first], features[second]
    if len(pixels) < 2 or len(other_pixels) < 2:
        return np.zeros((0, 2), np.int64)
    similarity = descriptors @ other_descriptors.T
    rows = np.arange(len(pixels))
    best = similarity.argmax(axis=1)
    mutual = similarity.argmax(axis=0)[best] == rows
    highest = similarity[rows, best].copy()
    similarity[rows, best] = -1
    distances = 1 - np.stack([highest, similarity.max(axis=1)])
    clear = distances[0] < RATIO**2 * distances[1]
    matches = np.stack([rows, best], axis=1)[mutual & clear]
    error = epipolar_error(
        photos.rays(pixels[matches[:, 0]]),
        photos.rays(other_pixels[matches[:, 1]]),
        photos.extrinsics[first],
        photos.extrinsics[second],
    )
    return matches[error * photos.focal < LARGEST_ERROR]


def epipolar_error(rays: Array, other_rays: Array, camera: Array, other_camera: Array) -> Array:
    """The larger distance of two rays [P, 2] from each other's epipolar line, in the plane z = 1.

    0 without a baseline, which the limit on the angle excludes later.
    """
    rotation = other_camera[:, :3] @ camera[:, :3].T
    x, y, z = other_camera[:, 3] - rotation @ camera[:, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ rotation
    first = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    second = np.concatenate([other_rays, np.ones((len(rays), 1))], axis=1)
    line, other_line = second @ essential, first @ essential.T
    product = np.abs((second * other_line).sum(axis=1))
    width = np.minimum(
        np.linalg.norm(line[:, :2], axis=1), np.linalg.norm(other_line[:, :2], axis=1)
    )
    return product / np.maximum(width, 1e-12)


def _tracks(frame: Indices, pixel: Array, edges: Indices) -> Observations:
    """Join matches [E, 2] of features to tracks; drop those with two features of one photo."""
    label = np.arange(len(frame))
    while True:
        lowest = np.minimum(label[edges[:, 0]], label[edges[:, 1]])
        joined = label.copy()
        np.minimum.at(joined, edges[:, 0], lowest)
        np.minimum.at(joined, edges[:, 1], lowest)
        joined = joined[joined]
        if (joined == label).all():
            break
        label = joined
    _, track = np.unique(label, return_inverse=True)
    track = track.astype(np.int64).reshape(-1)
    pairs = np.unique(np.stack([track, frame], axis=1), axis=0)
    photos_of = np.bincount(pairs[:, 0], minlength=len(track))
    features_of = np.bincount(track, minlength=len(track))
    kept = (photos_of == features_of)[track] & (features_of[track] >= LEAST_VIEWS)
    return Observations(frame[kept], track[kept], pixel[kept])


def _points(photos: Photos, observations: Observations) -> Array:
    """Points [T, 3] of tracks: a linear solution, then the least squares of reprojection."""
    frame, track, pixel = observations
    count = int(track.max(initial=-1)) + 1
    rays, cameras = photos.rays(pixel), photos.extrinsics[frame]
    rows = rays[:, :, None] * cameras[:, 2:3] - cameras[:, :2]
    products = np.zeros((count, 4, 4))
    np.add.at(products, track, np.einsum("mri,mrj->mij", rows, rows))
    solution = np.linalg.eigh(products)[1][:, :, 0]
    weight = np.where(np.abs(solution[:, 3:]) < 1e-12, 1e-12, solution[:, 3:])
    points = solution[:, :3] / weight
    for _ in range(REFINEMENTS):
        seen = _seen(cameras, points[track])
        depth = np.where(np.abs(seen[:, 2:]) < 1e-9, 1e-9, seen[:, 2:])
        residual = rays - seen[:, :2] / depth
        slope = (cameras[:, :2, :3] - (seen[:, :2] / depth)[:, :, None] * cameras[:, 2:3, :3]) / (
            depth[:, :, None]
        )
        normal, right = np.zeros((count, 3, 3)), np.zeros((count, 3))
        np.add.at(normal, track, np.einsum("mri,mrj->mij", slope, slope))
        np.add.at(right, track, np.einsum("mri,mr->mi", slope, residual))
        damping = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-15
        points = points + np.linalg.solve(normal + damping * np.eye(3), right[:, :, None])[..., 0]
    return points


def _seen(cameras: Array, points: Array) -> Array:
    """Points [M, 3] in the frames of cameras [M, 3, 4]."""
    return np.einsum("mij,mj->mi", cameras[:, :, :3], points) + cameras[:, :, 3]


def _errors(photos: Photos, observations: Observations, points: Array) -> tuple[Array, Array]:
    """Reprojection error in the plane z = 1 and depth of observations."""
    seen = _seen(photos.extrinsics[observations.frame], points[observations.track])
    depth = seen[:, 2]
    projected = seen[:, :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth)[:, None]
    return np.linalg.norm(projected - photos.rays(observations.pixel), axis=1), depth


def _angles(photos: Photos, observations: Observations, points: Array) -> Array:
    """Largest angle in degrees between two rays of each point."""
    rays = points[observations.track] - photos.centres()[observations.frame]
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    angles = np.zeros(len(points))
    order = np.argsort(observations.track, kind="stable")
    tracks, begins = np.unique(observations.track[order], return_index=True)
    # Without tracks, `split` still gives one group.
    for track, group in zip(tracks, np.split(order, begins[1:]), strict=False):
        cosine = (rays[group] @ rays[group].T).min()
        angles[track] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return angles
