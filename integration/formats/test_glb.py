"""GLB: its cameras follow docs/formats.md."""

import numpy as np
import trimesh

from .result import Result


def test_asset_extras_describe_the_result(result: Result) -> None:
    extras = result.document["asset"]["extras"]
    assert extras["color_space"] == "srgb"
    assert extras["image_size"] == list(result.size)
    for name in ["world_to_glb", "alignment"]:
        assert extras[name] == result.metadata[name]
    threshold = np.float32(result.metadata["confidence_threshold"])
    assert np.float32(extras["confidence_threshold"]) == threshold


def test_has_a_camera_for_each_registered_frame(result: Result) -> None:
    """Field of view and pose are those of the frame."""
    nodes = [node for node in result.document["nodes"] if "camera" in node]
    width, height = result.size
    similarity = result.arrays["world_to_glb"]
    for node, frame in zip(nodes, result.registered, strict=True):
        intrinsics = result.arrays["intrinsics"][frame]
        extrinsics = result.arrays["extrinsics"][frame]
        np.testing.assert_allclose(node["extras"]["intrinsics"], intrinsics, rtol=1e-12)
        np.testing.assert_allclose(node["extras"]["extrinsics"], extrinsics, rtol=1e-12)
        assert node["extras"]["distortion"] == result.metadata["distortion"][frame]
        perspective = result.document["cameras"][node["camera"]]["perspective"]
        assert perspective["yfov"] == np.float32(2 * np.arctan(height / 2 / intrinsics[1, 1]))
        ratio = width / intrinsics[0, 0] / (height / intrinsics[1, 1])
        np.testing.assert_allclose(perspective["aspectRatio"], ratio, rtol=1e-6)
        center = (similarity @ np.linalg.inv(extrinsics))[:3, 3]
        size = np.abs(result.positions).max()
        np.testing.assert_allclose(node["translation"], center, atol=1e-5 * size)
    ids = [node["extras"]["id"] for node in nodes]
    assert ids == sorted(set(ids))


def test_points_project_to_their_source_pixels(result: Result) -> None:
    """Uses the formula of docs/formats.md with the cameras' extras."""
    to_world = np.linalg.inv(np.array(result.document["asset"]["extras"]["world_to_glb"]))
    nodes = [node for node in result.document["nodes"] if "camera" in node]
    for node, frame in zip(nodes, result.registered, strict=True):
        mine = result.frames == frame
        points = np.c_[result.positions[mine], np.ones(mine.sum())].T
        camera = (np.array(node["extras"]["extrinsics"]) @ to_world @ points)[:3]
        x, y = camera[:2] / camera[2]
        k1, k2 = node["extras"]["distortion"]
        factor = 1 + k1 * (x**2 + y**2) + k2 * (x**2 + y**2) ** 2
        intrinsics = np.array(node["extras"]["intrinsics"])
        u, v, _ = intrinsics @ [x * factor, y * factor, np.ones_like(x)]
        np.testing.assert_allclose(np.c_[u, v], result.pixels[mine], atol=0.01)


def test_trimesh_reads_points_colours_and_cameras(result: Result) -> None:
    """A reader that knows nothing of this project."""
    scene = trimesh.load(result.folder / "result.glb")
    [cloud] = [found for found in scene.geometry.values() if isinstance(found, trimesh.PointCloud)]
    np.testing.assert_array_equal(cloud.vertices, result.positions)
    np.testing.assert_array_equal(cloud.colors[:, :3], result.colors)
    # The pyramids of the cameras are lines.
    [lines] = [found for found in scene.geometry.values() if isinstance(found, trimesh.path.Path3D)]
    assert len(lines.vertices) >= 5 * len(result.registered)
