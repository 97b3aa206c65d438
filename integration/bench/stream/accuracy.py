"""Errors of a result against the known poses and, on a procedural walk, the known depth."""

from __future__ import annotations

import io
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weights.evaluation.photos import Photos, centres, read_folder
from weights.evaluation.scores import umeyama
from weights.metrics import PoseErrors, depth_errors, pose_errors
from weights.scenes.walk import DEPTH, read_depth

from ..service import Server

LOST = 180.0
"""Error in degrees of a pair with a frame that is not placed."""
Array = NDArray[np.float64]


class DepthScores(NamedTuple):
    """Mean of |depth / truth - 1| over the confident pixels; NaN if nothing is known."""

    one_scale: float
    """With one scale for all frames."""
    own_scale: float
    """With a scale for each group of frames."""
    known: float
    """Share of the pixels that are confident."""


class PoseScores(NamedTuple):
    """NaN where the reference says nothing."""

    frames: int
    placed: int
    auc5: float
    """Area under the recall curve of pose errors up to 5 degrees; pairs of lost frames count."""
    position: float
    """RMS error of the camera centres after a similarity, as share of the length of the path."""


@dataclass(frozen=True)
class Truth:
    """A folder of images with what is known about them."""

    photos: Photos
    depth: NDArray[np.float16] | None
    """[N, H, W] on a procedural walk."""

    @classmethod
    def of(cls, folder: Path, frames: int) -> Truth:
        """The first images of a folder, in its order."""
        all_photos = read_folder(folder, 1 << 30)
        photos = Photos(
            all_photos.name,
            all_photos.paths[:frames],
            all_photos.size,
            all_photos.focal,
            all_photos.k1,
            all_photos.extrinsics[:frames],
        )
        known = (folder / DEPTH).exists()
        return cls(photos, read_depth(folder)[:frames] if known else None)

    def indices(self, names: list[str]) -> NDArray[np.int64]:
        """Indices of images in the order of the folder."""
        index = {path.name: place for place, path in enumerate(self.photos.paths)}
        return np.array([index[name] for name in names], np.int64)

    def poses(self, metadata: dict[str, Any], sent: list[str]) -> PoseScores:
        """Compare the cameras of a result with the reference; `sent` are all its images."""
        place = {name: row for row, name in enumerate(metadata["frames"])}
        lost = set(metadata["unregistered_frames"])
        placed = np.array([name in place and name not in lost for name in sent])
        rows = np.tile(np.eye(4), (len(sent), 1, 1))
        for row, name in enumerate(sent):
            if placed[row]:
                rows[row] = metadata["extrinsics"][place[name]]
        estimated, frames = rows[:, :3], self.indices(sent)
        referenced = self.photos.referenced[frames]
        truth = self.photos.extrinsics[frames]
        if referenced.sum() < 2:
            return PoseScores(len(sent), int(placed.sum()), float("nan"), float("nan"))
        errors = _with_lost(estimated[referenced], truth[referenced], placed[referenced])
        position = self._position(estimated, frames, placed & referenced)
        return PoseScores(len(sent), int(placed.sum()), errors.auc(5), position)

    def _position(
        self, estimated: Array, frames: NDArray[np.int64], compared: NDArray[np.bool_]
    ) -> float:
        if compared.sum() < 3:
            return float("nan")
        truth = self.photos.centres()
        path = truth[np.sort(frames)]
        path = path[np.isfinite(path).all(axis=1)]
        length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
        target = truth[frames[compared]]
        moved = umeyama(centres(estimated[compared]), target)
        return float(np.sqrt(((moved - target) ** 2).sum(axis=1).mean()) / length)

    def depth_scores(self, arrays: Arrays, group: int) -> DepthScores:
        """Compare the depth of a result with the truth, in groups of so many frames."""
        if self.depth is None:
            raise ValueError("the true depth is not known")
        size = arrays.depth.shape[1:]
        truth = _resized(self.depth[self.indices(arrays.names)], size)
        registered = arrays.registered[:, None, None]
        confidence = np.where(registered, arrays.confidence, 1.0)
        whole = depth_errors(arrays.depth, confidence, truth)
        parts = [
            depth_errors(
                *(values[begin : begin + group] for values in (arrays.depth, confidence, truth))
            )
            for begin in range(0, len(truth), group)
        ]
        return DepthScores(
            whole.abs_rel, float(np.nanmean([part.abs_rel for part in parts])), whole.coverage
        )


class Arrays(NamedTuple):
    """Depth and confidence [N, H, W] of a result, and the names of its frames."""

    names: list[str]
    registered: NDArray[np.bool_]
    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]


def read_arrays(server: Server, session: str, names: list[str]) -> Arrays:
    """Fetch the newest result of a session as NPZ; `names` are those of its frames."""
    address = f"{server.base}/ws/session/{session}/result?format=npz"
    with urllib.request.urlopen(address, timeout=600) as response:
        data = response.read()
    with np.load(io.BytesIO(data)) as arrays:
        return Arrays(
            names, arrays["registered"].astype(bool), arrays["depth"], arrays["confidence"]
        )


def _with_lost(estimated: Array, truth: Array, placed: NDArray[np.bool_]) -> PoseErrors:
    errors = pose_errors(estimated.astype(np.float32), truth.astype(np.float32))
    first, second = np.triu_indices(len(truth), 1)
    lost = ~(placed[first] & placed[second])
    return PoseErrors(
        np.where(lost, LOST, errors.rotation), np.where(lost, LOST, errors.translation)
    )


def _resized(depth: NDArray[np.float16], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Depth at the nearest pixels of another size."""
    rows, columns = (
        np.minimum(((np.arange(to) + 0.5) * of / to).astype(np.int64), of - 1)
        for of, to in zip(depth.shape[1:], size, strict=True)
    )
    return depth[:, rows][:, :, columns].astype(np.float32)
