"""COLMAP: the model read by COLMAP itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from .result import Result


@pytest.fixture(scope="module")
def folder(unpacked: Callable[[str], Path]) -> Path:
    """The unpacked archive."""
    return unpacked("colmap")


@pytest.fixture(scope="module", params=["sparse/0", "text"])
def model(folder: Path, request: pytest.FixtureRequest) -> pycolmap.Reconstruction:
    """The binary model, then the text model."""
    return pycolmap.Reconstruction(folder / request.param)


def test_every_registered_frame_is_an_image(
    result: Result, model: pycolmap.Reconstruction, folder: Path
) -> None:
    """Each has its own camera, and there are no other images."""
    expected = [frame + 1 for frame in result.registered]
    assert sorted(model.images) == sorted(model.cameras) == expected
    assert model.num_reg_images() == len(expected)
    width, height = result.size
    for image in model.images.values():
        assert (folder / "images" / image.name).is_file()
        camera = model.cameras[image.camera_id]
        k1, k2 = result.arrays["distortion"][image.image_id - 1]
        distorted = k1 != 0 or k2 != 0
        assert camera.model_name == ("OPENCV" if distorted else "PINHOLE")
        assert (camera.width, camera.height) == (width, height)
        (fx, _, cx), (_, fy, cy), _ = result.arrays["intrinsics"][image.image_id - 1]
        # The centre of the top left pixel is (0.5, 0.5) here and (0, 0) there.
        parameters = [fx, fy, cx + 0.5, cy + 0.5, *([k1, k2, 0, 0] if distorted else [])]
        np.testing.assert_allclose(camera.params, parameters, rtol=1e-12)
    assert len(list((folder / "images").iterdir())) == len(expected)


def test_points_are_those_of_the_glb(
    result: Result, model: pycolmap.Reconstruction, rounding: float
) -> None:
    """Points are numbered in the order of the GLB."""
    assert sorted(model.points3D) == list(range(1, len(result.positions) + 1))
    points = [model.points3D[number] for number in sorted(model.points3D)]
    xyz = np.array([point.xyz for point in points])
    found = xyz.astype(np.float32)
    np.testing.assert_allclose(found, result.positions, rtol=rounding, atol=rounding)
    np.testing.assert_array_equal([point.color for point in points], result.colors)


def test_points_project_to_their_source_pixels(
    result: Result, model: pycolmap.Reconstruction, folder: Path
) -> None:
    """COLMAP projects a point to its source pixel, which has the point's colour."""
    for image in model.images.values():
        pixels = np.asarray(Image.open(folder / "images" / image.name))
        mine = np.flatnonzero(result.frames == image.image_id - 1)
        assert image.num_points2D() == image.num_points3D == len(mine)
        for number, point2d in zip(mine, image.points2D, strict=True):
            assert point2d.point3D_id == number + 1
            point = model.points3D[point2d.point3D_id]
            [element] = point.track.elements
            assert element.image_id == image.image_id
            found = image.project_point(point.xyz)
            assert np.abs(found - point2d.xy).max() < 0.01
            column, row = np.floor(point2d.xy).astype(int)
            assert [column, row] == result.pixels[number].tolist()
            assert pixels[row, column].tolist() == point.color.tolist()


def test_reprojection_error_is_zero(model: pycolmap.Reconstruction) -> None:
    """The error in pixels, computed by COLMAP."""
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() < 1e-3
    assert model.compute_mean_track_length() == 1.0


def test_points_fit_the_other_images(
    result: Result, model: pycolmap.Reconstruction, folder: Path
) -> None:
    """A point projected into another image has about the colour of that pixel."""
    names = {number: image.name for number, image in model.images.items()}
    pixels = {
        number: np.asarray(Image.open(folder / "images" / name)).astype(int)
        for number, name in names.items()
    }
    width, height = result.size
    differences = []
    for first in model.images:
        for second, image in model.images.items():
            if first == second:
                continue
            for number in np.flatnonzero(result.frames == first - 1)[::20]:
                seen = image.project_point(result.positions[number].astype(np.float64))
                if seen is None or not (0 <= seen[0] < width and 0 <= seen[1] < height):
                    continue
                column, row = np.floor(seen).astype(int)
                there = pixels[second][row, column]
                differences.append(np.abs(there - result.colors[number]).max())
    assert len(differences) > 1000
    assert np.median(differences) < 25
