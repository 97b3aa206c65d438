"""XYZ and CSV: the points of the GLB as text."""

import csv

import numpy as np

from .result import Result


def test_xyz_has_the_points_of_the_glb(result: Result, rounding: float) -> None:
    """Six numbers a line, and no header."""
    numbers = np.loadtxt(result.folder / "result.xyz", dtype=np.float64, ndmin=2)
    assert numbers.shape == (len(result.positions), 6)
    positions = numbers[:, :3].astype(np.float32)
    np.testing.assert_allclose(positions, result.positions, rtol=rounding, atol=rounding)
    np.testing.assert_array_equal(numbers[:, 3:], result.colors)


def test_csv_has_the_points_of_the_glb(result: Result, rounding: float) -> None:
    """A header, and the confidence as the last column."""
    with (result.folder / "result.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["x", "y", "z", "red", "green", "blue", "confidence"]
    numbers = np.array(lines, dtype=np.float64)
    positions = numbers[:, :3].astype(np.float32)
    np.testing.assert_allclose(positions, result.positions, rtol=rounding, atol=rounding)
    np.testing.assert_array_equal(numbers[:, 3:6], result.colors)
    np.testing.assert_array_equal(numbers[:, 6].astype(np.float32), result.confidence)
