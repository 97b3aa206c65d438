"""PLY: the points of the GLB with their confidence."""

import numpy as np
from plyfile import PlyData

from .result import Result


def test_points_are_those_of_the_glb(result: Result, rounding: float) -> None:
    """Values are bit-equal, but for `--rounding`, and in the same order."""
    file = PlyData.read(result.folder / "result.ply")
    assert not file.text and file.byte_order == "<"
    assert [element.name for element in file.elements] == ["vertex"]
    vertices = file["vertex"].data
    names = ["x", "y", "z", "red", "green", "blue", "confidence"]
    assert list(vertices.dtype.names) == names
    for axis, name in enumerate("xyz"):
        np.testing.assert_allclose(
            vertices[name], result.positions[:, axis], rtol=rounding, atol=rounding
        )
    for channel, name in enumerate(["red", "green", "blue"]):
        np.testing.assert_array_equal(vertices[name], result.colors[:, channel])
    np.testing.assert_array_equal(vertices["confidence"], result.confidence)
