"""COLMAP and nerfstudio with the photos at full resolution."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray
from PIL import Image

from .result import Result


@pytest.fixture(scope="module")
def folder(unpacked: Callable[[str], Path]) -> Path:
    """The unpacked archive for COLMAP."""
    return unpacked("original.colmap")


@pytest.fixture(scope="module")
def model(folder: Path) -> pycolmap.Reconstruction:
    """The model with the photos."""
    return pycolmap.Reconstruction(folder / "sparse/0")


@pytest.fixture(scope="module")
def processed(unpacked: Callable[[str], Path]) -> pycolmap.Reconstruction:
    """The model with the processed images."""
    return pycolmap.Reconstruction(unpacked("colmap") / "sparse/0")


def test_photos_have_the_sizes_and_poses_of_their_cameras(
    model: pycolmap.Reconstruction, processed: pycolmap.Reconstruction, folder: Path
) -> None:
    """Only the intrinsics differ from those of the processed images."""
    assert sorted(model.images) == sorted(processed.images)
    for number, image in model.images.items():
        camera = model.cameras[image.camera_id]
        assert camera.model_name == "PINHOLE"
        with Image.open(folder / "images" / image.name) as photo:
            assert photo.format == "JPEG"
            assert photo.size == (camera.width, camera.height)
        pose = image.cam_from_world().matrix()
        np.testing.assert_allclose(pose, processed.images[number].cam_from_world().matrix())
    assert len(model.points3D) == len(processed.points3D)


def test_points_are_where_they_are_seen(model: pycolmap.Reconstruction) -> None:
    """COLMAP projects each point to where the model says that it is observed."""
    for image in model.images.values():
        width = model.cameras[image.camera_id].width
        for point2d in image.points2D[::7]:
            found = image.project_point(model.points3D[point2d.point3D_id].xyz)
            assert np.abs(found - point2d.xy).max() < 1e-4 * width


def test_points_have_the_colours_of_the_photos(
    model: pycolmap.Reconstruction, processed: pycolmap.Reconstruction, folder: Path
) -> None:
    """Of the part of the photo that became the point's pixel."""
    for number, image in model.images.items():
        camera = model.cameras[image.camera_id]
        scale = camera.focal_length_x / processed.cameras[number].focal_length_x
        half = max(0, round((scale - 1) / 2))
        photo = np.asarray(Image.open(folder / "images" / image.name)).astype(float)
        differences = []
        for point2d in image.points2D[::7]:
            column, row = np.floor(point2d.xy).astype(int)
            if not (half <= column < camera.width - half and half <= row < camera.height - half):
                continue
            part = photo[row - half : row + half + 1, column - half : column + half + 1]
            color = model.points3D[point2d.point3D_id].color
            differences.append(np.abs(part.mean(axis=(0, 1)) - color).mean())
        assert len(differences) > len(image.points2D) // 7 * 0.8
        assert np.median(differences) < 8, f"{image.name}: {np.median(differences)}"


def test_nerfstudio_has_photos_and_depth_that_fit(
    result: Result, unpacked: Callable[[str], Path]
) -> None:
    """A point's depth is at the place in the map where its camera sees it."""
    folder = unpacked("original.nerfstudio")
    transforms = json.loads((folder / "transforms.json").read_text())
    assert transforms["camera_model"] == "PINHOLE"
    for index, frame in zip(result.registered, transforms["frames"], strict=True):
        with Image.open(folder / frame["file_path"]) as photo:
            assert photo.size == (frame["w"], frame["h"])
        depth = np.load(folder / frame["depth_file_path"])
        seen = project(frame, result.positions[result.frames == index][::7])
        at = np.floor(seen[:, :2] * [depth.shape[1], depth.shape[0]]).astype(int)
        inside = ((at >= 0) & (at < [depth.shape[1], depth.shape[0]])).all(axis=1)
        assert inside.mean() > 0.8
        found = depth[at[inside, 1], at[inside, 0]] / 1000
        assert np.quantile(np.abs(found / seen[inside, 2] - 1), 0.8) < 0.03


def project(frame: dict[str, Any], points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where points appear, as parts of width and height, and their depth."""
    to_camera = np.linalg.inv(np.array(frame["transform_matrix"]))
    local = points.astype(np.float64) @ to_camera[:3, :3].T + to_camera[:3, 3]
    x, y, z = local[:, 0], -local[:, 1], -local[:, 2]
    u = (frame["fl_x"] * x / z + frame["cx"]) / frame["w"]
    v = (frame["fl_y"] * y / z + frame["cy"]) / frame["h"]
    return np.stack([u, v, z], axis=1)
