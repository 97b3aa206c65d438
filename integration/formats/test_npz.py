"""NPZ: depth and cameras give the points of the GLB."""

import numpy as np

from .result import Result


def test_arrays_have_the_documented_types_and_shapes(result: Result) -> None:
    """Types and shapes are those of docs/formats.md."""
    count = len(result.metadata["frames"])
    width, height = result.metadata["processed_size"]
    points = result.metadata["num_points"]
    found = {
        name: (array.dtype.kind, array.dtype.itemsize, array.shape)
        for name, array in result.arrays.items()
        if name != "frames"
    }
    assert found == {
        "depth": ("f", 4, (count, height, width)),
        "confidence": ("f", 4, (count, height, width)),
        "intrinsics": ("f", 8, (count, 3, 3)),
        "distortion": ("f", 8, (count, 2)),
        "extrinsics": ("f", 8, (count, 4, 4)),
        "world_to_glb": ("f", 8, (4, 4)),
        "registered": ("b", 1, (count,)),
        "points": ("u", 4, (points, 2)),
    }


def test_agrees_with_the_metadata(result: Result) -> None:
    """Cameras and names equal those of the metadata."""
    for name in ["intrinsics", "distortion", "extrinsics", "world_to_glb"]:
        np.testing.assert_allclose(result.arrays[name], result.metadata[name], rtol=1e-12)
    names = result.arrays["frames"].tolist()
    assert names == result.metadata["frames"]
    left_out = [
        name for name, good in zip(names, result.arrays["registered"], strict=True) if not good
    ]
    # Images that were set aside because of their shape are no frames.
    unregistered = result.metadata["unregistered_frames"]
    assert left_out == [name for name in unregistered if name in names]
    assert left_out, "the result must have an unregistered frame"


def test_points_are_confident_pixels_of_registered_frames(result: Result) -> None:
    """They are in the order of frames and pixels, without duplicates."""
    points = result.arrays["points"].astype(np.int64)
    assert set(points[:, 0]) == set(result.registered)
    width, height = result.size
    flat = points[:, 0] * width * height + points[:, 1]
    assert (np.diff(flat) > 0).all()
    confidence = result.arrays["confidence"].reshape(-1)[flat]
    assert confidence.min() >= np.float32(result.metadata["confidence_threshold"])


def test_depth_and_cameras_give_the_points_of_the_glb(result: Result) -> None:
    """Uses the formula of docs/formats.md."""
    arrays = result.arrays
    depth, intrinsics, extrinsics = arrays["depth"], arrays["intrinsics"], arrays["extrinsics"]
    distortion = arrays["distortion"]
    f, i = arrays["points"].T
    v, u = np.divmod(i, depth.shape[2])
    rays = np.linalg.inv(intrinsics)[f] @ np.stack([u, v, np.ones_like(u)], axis=1)[:, :, None]
    rays = rays[:, :, 0]
    seen, (k1, k2) = rays[:, :2].copy(), distortion[f].T[:, :, None]
    for _ in range(30):
        r2 = (rays[:, :2] ** 2).sum(axis=1, keepdims=True)
        rays[:, :2] = seen / (1 + k1 * r2 + k2 * r2**2)
    camera = rays * depth.reshape(len(depth), -1)[f, i][:, None]
    world = np.linalg.inv(extrinsics)[f] @ np.c_[camera, np.ones(len(f))][:, :, None]
    glb = (arrays["world_to_glb"] @ world)[:, :3, 0]
    size = np.abs(result.positions).max()
    np.testing.assert_allclose(glb, result.positions, atol=1e-5 * size)
