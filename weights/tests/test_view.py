"""Renderings of a point cloud: near points occlude far ones, and views reproduce the photos."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from weights.contract import Reconstruction
from weights.scenes import Rendering, SceneSettings, render_scene
from weights.view import BACKGROUND, around, point_cloud, read_photos, splat, undistort

INTRINSICS = np.array([[10.0, 0, 7.5], [0, 10.0, 5.5], [0, 0, 1]])
IDENTITY = np.eye(3, 4)


def exact(rendering: Rendering) -> Reconstruction:
    """The ground truth in the form of a model's result."""
    frames = len(rendering.images)
    return Reconstruction(
        depth=torch.from_numpy(rendering.depth),
        confidence=torch.full(rendering.depth.shape, 2.0),
        extrinsics=torch.from_numpy(rendering.extrinsics),
        intrinsics=torch.from_numpy(rendering.intrinsics).repeat(frames, 1, 1),
        registered=torch.ones(frames, dtype=torch.bool),
        distortion=torch.zeros(frames, 2),
    )


def test_near_point_occludes_the_far_one() -> None:
    points = np.array([[0.0, 0, 2], [0, 0, 1], [0, 0, 3], [0, 0, -1]])
    colours = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]], np.uint8)
    image = splat(points, colours, IDENTITY, INTRINSICS, 16, 12)
    assert (image[6:8, 8:10] == 2).all()
    assert (image == BACKGROUND).sum() == 3 * (16 * 12 - 4)


def test_view_from_a_photos_camera_equals_the_photo() -> None:
    rendering = render_scene(3, SceneSettings(views=2, width=70, height=56))
    points, colours = point_cloud(exact(rendering), rendering.images)
    assert len(points) == 2 * 70 * 56
    seen = splat(
        points[: 70 * 56],
        colours[: 70 * 56],
        rendering.extrinsics[0].astype(np.float64),
        rendering.intrinsics.astype(np.float64),
        70,
        56,
        size=1,
    )
    assert (seen == rendering.images[0]).all(axis=-1).mean() > 0.99


def test_rays_of_a_distorted_image_are_straightened() -> None:
    rays = np.array([[0.0, 0, 1], [0.4, -0.3, 1], [-0.1, 0.2, 1]])
    squared = (rays[:, :2] ** 2).sum(1, keepdims=True)
    seen = rays.copy()
    seen[:, :2] *= 1 - 0.2 * squared + 0.05 * squared**2
    np.testing.assert_allclose(undistort(seen, np.array([-0.2, 0.05])), rays, atol=1e-12)
    assert (undistort(rays, np.zeros(2)) == rays).all()


def test_pixels_without_confidence_are_omitted() -> None:
    rendering = render_scene(3, SceneSettings(views=2, width=70, height=56))
    result = exact(rendering)
    result.confidence[0] = 1.0
    points, colours = point_cloud(result, rendering.images)
    assert len(points) == len(colours) == 70 * 56


def test_camera_orbits_a_fixed_point() -> None:
    centre = np.array([0.2, -0.1, 3.0])
    camera = around(IDENTITY, centre, 30, -10)
    np.testing.assert_allclose(camera[:, :3] @ centre + camera[:, 3], centre)
    assert not np.allclose(camera, IDENTITY)


def test_photos_are_oriented_resized_and_cropped_alike(tmp_path: Path) -> None:
    wide = Image.new("RGB", (300, 200), (10, 20, 30))
    wide.save(tmp_path / "wide.png")
    turned = wide.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # displays upright after a clockwise rotation by 90 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif)
    Image.new("L", (280, 280), 77).save(tmp_path / "square.png")
    paths = [tmp_path / name for name in ("wide.png", "turned.jpg", "square.png")]
    photos = read_photos(paths, 140, 14)
    assert photos.shape == (3, 98, 140, 3)
    assert (photos[0] == [10, 20, 30]).all()
    assert (photos[2] == 77).all()
