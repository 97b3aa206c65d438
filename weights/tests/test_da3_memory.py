"""The memory needs in the archives' metadata are correct."""

from pathlib import Path

import pytest

from weights.contract import read_metadata
from weights.count_memory import Reconstruction, count
from weights.da3.config import ANY_VIEW, CONFIGS, GIANT, NESTED_GIANT_LARGE, SMALL, AnyConfig
from weights.da3.export import export_random
from weights.da3.memory import CUDA_MARGIN, memory_of
from weights.measure_memory import measure_apart, stated


def test_small_network_needs_at_most_the_stated_memory(tmp_path: Path) -> None:
    export_random("small", tmp_path / "small.pt")
    metadata = read_metadata(tmp_path / "small.pt")
    case = "6x140x252"
    found, expected = measure_apart(tmp_path / "small.pt", case), stated(metadata.memory, case)
    assert expected is not None
    assert 0.95 * found < expected < 1.7 * found, (found, expected)


@pytest.mark.parametrize("frames", [1, 12, 40])
@pytest.mark.parametrize(
    ("config", "device", "precision", "heads"),
    [
        (SMALL, "cpu", "fp32", "fp32"),
        (GIANT, "cuda", "fp16", "fp16"),
        (NESTED_GIANT_LARGE, "cuda", "bf16", "fp32"),
    ],
    ids=["small", "giant", "nested"],
)
def test_table_bounds_the_count_at_other_sizes(
    config: AnyConfig, device: str, precision: str, heads: str, frames: int
) -> None:
    work = Reconstruction(frames, 112, 308, min(frames, 4))
    margin = CUDA_MARGIN if device == "cuda" else 1.0
    counted = margin * count(config, work, device, precision, heads)
    memory = memory_of(config, precision, heads)
    need = memory and (memory.cuda if device == "cuda" else memory.cpu)
    expected = stated(memory, f"{frames}x112x308", device, work.frames_per_call)
    assert need is not None and expected is not None
    tensors = expected - need.fixed  # the rest is the memory of libraries
    assert 0.99 * counted < tensors < 1.5 * counted, (counted, tensors)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=lambda config: config.name)
def test_half_precision_needs_less(config: AnyConfig) -> None:
    needs = [
        stated(memory_of(config, *precisions), "32x336x504", "cuda", 8)
        for precisions in (("fp16", "fp16"), ("fp16", "fp32"), ("fp32", "fp32"))
    ]
    assert None not in needs and needs == sorted(needs, key=lambda need: need or 0)
    assert needs[0] != needs[-1]


def test_larger_networks_need_more() -> None:
    needs = [
        stated(memory_of(config, "fp16"), "32x336x504", "cuda", 8) for config in ANY_VIEW.values()
    ]
    assert None not in needs and needs == sorted(needs, key=lambda need: need or 0)
