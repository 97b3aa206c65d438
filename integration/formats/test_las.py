"""LAS and LAZ: the points of the GLB with their confidence, read by laspy."""

import laspy
import numpy as np
import pytest

from .result import Result


@pytest.mark.parametrize("name", ["las", "laz"])
def test_points_are_those_of_the_glb(result: Result, rounding: float, name: str) -> None:
    """Positions are rounded to the step of the file."""
    with laspy.open(result.folder / f"result.{name}") as file:
        assert file.header.are_points_compressed == (name == "laz")
        cloud = file.read()
    assert str(cloud.header.version) == "1.2"
    assert cloud.header.point_format.id == 2
    step = cloud.header.scales[0]
    apart = np.abs(cloud.xyz - result.positions)
    allowed = 0.51 * step + rounding * (1 + np.abs(result.positions))
    assert (apart <= allowed).all()
    farthest = np.abs(result.positions).max()
    assert step <= farthest * 10 / 2**24, "as fine as a float"
    for channel, colour in enumerate(["red", "green", "blue"]):
        np.testing.assert_array_equal(cloud[colour], result.colors[:, channel].astype(int) * 257)
    np.testing.assert_array_equal(cloud["confidence"], result.confidence)


def test_both_are_the_same(result: Result) -> None:
    """Compression loses nothing."""
    plain, packed = (laspy.read(result.folder / f"result.{name}") for name in ("las", "laz"))
    np.testing.assert_array_equal(plain.points.array, packed.points.array)
