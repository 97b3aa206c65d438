"""Meshes: the same surface in three formats, where the depth of the frames is."""

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from .result import Result, distort


def load(result: Result, name: str) -> trimesh.Trimesh:
    """The mesh in a file, with vertices and triangles as they are there."""
    path = result.folder / f"result.{name}"
    scene = trimesh.load_scene(path, process=False, maintain_order=True)
    (mesh,) = scene.geometry.values()
    return mesh


@pytest.fixture(scope="session")
def mesh(result: Result) -> trimesh.Trimesh:
    """The mesh of the GLB."""
    return load(result, "mesh.glb")


def colours(mesh: trimesh.Trimesh) -> NDArray[np.uint8]:
    """[V, 3]. Beside a material, they are an attribute of the vertices."""
    found = getattr(mesh.visual, "vertex_colors", None)
    if found is None:
        found = mesh.visual.vertex_attributes["color"]
    return np.asarray(found)[:, :3]


def seen(
    result: Result, places: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far places [P, 3] are behind what each frame sees there, and the frames' centres."""
    arrays = result.arrays
    width, height = result.size
    to_world = np.linalg.inv(arrays["world_to_glb"])
    scale = np.cbrt(np.linalg.det(arrays["world_to_glb"][:3, :3]))
    homogeneous = np.c_[places, np.ones(len(places))]
    behind, centres = [], []
    for frame in result.registered:
        camera = homogeneous @ (arrays["extrinsics"][frame] @ to_world).T
        depth = camera[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            plane = distort(camera[:, :2] / depth[:, None], *arrays["distortion"][frame])
            pixels = np.c_[plane, np.ones(len(plane))] @ arrays["intrinsics"][frame].T
            pixels = np.nan_to_num(np.rint(pixels[:, :2]), nan=-1, posinf=-1, neginf=-1)
        columns, rows = pixels.astype(int).T
        inside = (depth > 0) & (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
        index = np.where(inside, rows * width + columns, 0)
        known = inside & (arrays["confidence"][frame].ravel()[index] > 1)
        off = (depth - arrays["depth"][frame].ravel()[index]) * scale
        behind.append(np.where(known, off, np.inf))
        centre = arrays["world_to_glb"] @ np.linalg.inv(arrays["extrinsics"][frame])
        centres.append(centre[:3, 3])
    return np.array(behind), np.array(centres)


def test_all_files_have_the_same_mesh(result: Result, mesh: trimesh.Trimesh) -> None:
    """Positions and colours are bit-equal."""
    for name in ["mesh.ply", "obj"]:
        other = load(result, name)
        positions = np.asarray(other.vertices, dtype=np.float32)
        np.testing.assert_array_equal(positions, np.asarray(mesh.vertices, dtype=np.float32))
        np.testing.assert_array_equal(other.faces, mesh.faces)
        np.testing.assert_array_equal(colours(other), colours(mesh))


def test_vertices_are_where_frames_see_something(result: Result, mesh: trimesh.Trimesh) -> None:
    """Within a few lengths of an edge, which is about as long as a voxel."""
    edge = np.median(mesh.edges_unique_length)
    behind, _ = seen(result, np.asarray(mesh.vertices, dtype=np.float64))
    nearest = np.abs(behind).min(axis=0)
    assert np.mean(nearest < 2 * edge) > 0.9
    assert np.mean(nearest < 10 * edge) > 0.999


def test_triangles_face_the_cameras(result: Result, mesh: trimesh.Trimesh) -> None:
    """They are counterclockwise for one of the frames that see them."""
    edge = np.median(mesh.edges_unique_length)
    places = np.asarray(mesh.triangles_center, dtype=np.float64)
    normals = np.cross(*(mesh.triangles[:, corner] - mesh.triangles[:, 0] for corner in (1, 2)))
    behind, centres = seen(result, places)
    sees = np.abs(behind) < 4 * edge
    facing = np.sum((centres[:, None] - places) * normals, axis=2) > 0
    assert np.mean(sees.any(axis=0)) > 0.9
    # Frames of a made-up surface may contradict each other.
    assert np.mean((sees & facing).any(axis=0)[sees.any(axis=0)]) > 0.85


def test_no_triangle_is_long(mesh: trimesh.Trimesh) -> None:
    """Nothing bridges what is apart."""
    lengths = mesh.edges_unique_length
    assert lengths.max() < 6 * np.median(lengths)
