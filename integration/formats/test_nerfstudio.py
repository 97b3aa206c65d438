"""nerfstudio: cameras in the convention of its loader, points and images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData

from .result import Result, distort


@pytest.fixture(scope="module")
def folder(unpacked: Callable[[str], Path]) -> Path:
    """The unpacked archive."""
    return unpacked("nerfstudio")


@pytest.fixture(scope="module")
def transforms(folder: Path) -> dict[str, Any]:
    """The content of `transforms.json`."""
    return json.loads((folder / "transforms.json").read_text())


def test_has_the_keys_and_files_of_the_loader(
    result: Result, folder: Path, transforms: dict[str, Any]
) -> None:
    """There is one frame per registered frame, and no other file in the folder."""
    distorted = any(any(result.metadata["distortion"][frame]) for frame in result.registered)
    assert transforms["camera_model"] == ("OPENCV" if distorted else "PINHOLE")
    assert all(("k1" in frame) == distorted for frame in transforms["frames"])
    names = [result.metadata["frames"][frame] for frame in result.registered]
    assert [frame["original_name"] for frame in transforms["frames"]] == names
    for frame in transforms["frames"]:
        assert (frame["w"], frame["h"]) == result.size
        assert Image.open(folder / frame["file_path"]).size == result.size
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["depth", "images", transforms["ply_file_path"], "transforms.json"]
    assert len(list((folder / "images").iterdir())) == len(names)
    assert len(list((folder / "depth").iterdir())) == len(names)


def test_depth_is_that_of_the_arrays_in_the_unit_of_the_glb(
    result: Result, folder: Path, transforms: dict[str, Any]
) -> None:
    """By nerfstudio's loader: a NumPy file times 0.001. Unknown depth is 0."""
    scale = np.cbrt(np.linalg.det(result.arrays["world_to_glb"][:3, :3]))
    for index, frame in zip(result.registered, transforms["frames"], strict=True):
        depth = np.load(folder / frame["depth_file_path"]) * 1e-3
        known = result.arrays["confidence"][index] >= np.float32(1.05)
        assert (depth[~known] == 0).all()
        expected = result.arrays["depth"][index][known] * scale
        np.testing.assert_allclose(depth[known], expected, rtol=1e-5)


def test_points_are_those_of_the_ply(
    result: Result, folder: Path, transforms: dict[str, Any]
) -> None:
    """Both files are identical."""
    path = folder / transforms["ply_file_path"]
    assert path.read_bytes() == (result.folder / "result.ply").read_bytes()


def test_points_project_to_their_source_pixels(
    result: Result, folder: Path, transforms: dict[str, Any]
) -> None:
    """Uses the rays of nerfstudio.

    Its camera looks along -z with y up. Without distortion the ray of the pixel in column u and
    row v goes through ((u + 0.5 - cx) / fl_x, -(v + 0.5 - cy) / fl_y, -1).
    """
    vertices = PlyData.read(folder / transforms["ply_file_path"])["vertex"].data
    points = np.stack([vertices[axis] for axis in "xyz"], axis=1).astype(np.float64)
    colors = np.stack([vertices[channel] for channel in ["red", "green", "blue"]], axis=1)
    for index, frame in zip(result.registered, transforms["frames"], strict=True):
        mine = result.frames == index
        pose = np.array(frame["transform_matrix"])
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
        assert np.linalg.det(pose) == pytest.approx(1.0)
        pixels = result.pixels[mine]
        rays = np.stack(
            [
                (pixels[:, 0] + 0.5 - frame["cx"]) / frame["fl_x"],
                -(pixels[:, 1] + 0.5 - frame["cy"]) / frame["fl_y"],
                np.full(len(pixels), -1.0),
            ],
            axis=1,
        )
        camera = (points[mine] - pose[:3, 3]) @ pose[:3, :3]
        assert (camera[:, 2] < 0).all(), "points are in front of the camera"
        at_depth_1 = camera[:, :2] / -camera[:, 2:]
        distorted = distort(at_depth_1, frame.get("k1", 0.0), frame.get("k2", 0.0))
        camera[:, :2] = distorted * -camera[:, 2:]
        at_ray = rays * -camera[:, 2:]
        focal = np.array([frame["fl_x"], frame["fl_y"]])
        apart = np.abs(camera - at_ray)[:, :2] / -camera[:, 2:] * focal
        assert apart.max() < 0.01, "pixels"
        image = np.asarray(Image.open(folder / frame["file_path"]))
        np.testing.assert_array_equal(image[pixels[:, 1], pixels[:, 0]], colors[mine])
