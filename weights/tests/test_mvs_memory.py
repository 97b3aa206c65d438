"""The memory that the embedded model states is enough, and not far more than it needs."""

import pytest

from weights.contract import read_metadata
from weights.measure_memory import measure_apart, stated, stated_for_adjustment
from weights.mvs.build import DEFAULT_PATH, METADATA

MOST = 2.5
"""The statement is the sum of what different steps need, though they come one after another."""
SMALL = 64e6
"""Bytes by which it may exceed that, for frames or maps that need little."""


def test_the_archive_states_what_its_source_says() -> None:
    assert read_metadata(DEFAULT_PATH).memory == METADATA.memory


@pytest.mark.parametrize(
    "case",
    [
        # One frame, enlarged; long frames; many pairs of frames, all of which are matched.
        *("1x504x504", "2x126x1008", "2x504x504", "16x126x168"),
        # More frames are matched with some of the others.
        "20x84x112",
    ],
)
def test_a_prediction_needs_at_most_the_stated_memory(case: str) -> None:
    found, expected = measure_apart(DEFAULT_PATH, case), stated(METADATA.memory, case)
    assert expected is not None
    assert found < expected < MOST * found + SMALL, (found, expected)


def test_placing_frames_among_others_needs_no_more_than_a_prediction_of_all() -> None:
    case = "8x126x168"
    found = measure_apart(DEFAULT_PATH, case, work="extend")
    expected = stated(METADATA.memory, case)
    assert expected is not None
    assert found < expected < MOST * found + SMALL, (found, expected)


@pytest.mark.parametrize("case", ["20x300x8", "30x400x30"])
def test_an_adjustment_needs_at_most_the_stated_memory(case: str) -> None:
    found = measure_apart(DEFAULT_PATH, case, work="adjust")
    expected = stated_for_adjustment(METADATA.memory, case)
    assert expected is not None
    assert found < expected < MOST * found + SMALL, (found, expected)
