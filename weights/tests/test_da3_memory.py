"""What archives say about memory is what they need."""

from pathlib import Path

import pytest

from weights.contract import read_metadata
from weights.da3.config import CONFIGS, AnyConfig
from weights.da3.export import export_random
from weights.da3.memory import memory_of
from weights.measure_memory import measure_apart, stated


def test_small_network_needs_at_most_what_its_archive_says(tmp_path: Path) -> None:
    export_random("small", tmp_path / "small.pt")
    metadata = read_metadata(tmp_path / "small.pt")
    case = "6x140x252"
    found, expected = measure_apart(tmp_path / "small.pt", case), stated(metadata, case)
    assert expected is not None
    assert 0.95 * found < expected < 1.7 * found, (found, expected)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=lambda config: config.name)
def test_half_precision_needs_no_more_for_many_frames(config: AnyConfig) -> None:
    single, half = memory_of(config, 4).cpu, memory_of(config, 2).cpu
    assert single is not None and half is not None
    totals = [100 * need.per_pixel + need.per_call_pixel for need in (half, single)]
    assert 0 < totals[0] <= totals[1]
