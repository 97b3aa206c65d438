"""The memory that the networks need, for the metadata of their archives.

It is counted (see `weights.count_memory`) for some numbers of frames, and bounded from above by the
formula of the contract. Memory does not depend on how many blocks there are, so that networks with
few of them are counted. To what is counted comes what libraries take for themselves.

Counting takes a while: `memory.json` holds what `python -m weights.da3.memory` found.
"""

import dataclasses
import json
from pathlib import Path

from weights.contract.metadata import Memory, MemoryNeed
from weights.count_memory import Reconstruction, count
from weights.da3.config import CONFIGS, AnyConfig, Da3Config, NestedConfig, VitConfig

TABLE = Path(__file__).with_name("memory.json")
COUNTED = (("fp32", "fp32"), ("fp16", "fp32"), ("fp16", "fp16"))
"""Precisions of the backbone and the heads. Of bfloat16 it is the same as of fp16."""
SIDES = (168, 252)
"""Height and width that are counted with: large enough for small tensors not to matter."""
MANY_FRAMES = (32, 64)
"""Where the need rises by the frame alone, as no call is the largest part of it."""
FEW_FRAMES = ((1, 1), (8, 8), (16, 8))
"""Frames, and frames in a call, where a call may be the largest part."""
FLOAT = 4
PROGRAM = 2 << 20
"""On the CPU: threads, kernels and small tensors."""
CUDA_WORKSPACE = 256 << 20
"""Of cuBLAS and cuDNN: not measured."""
CUDA_MARGIN = 1.2
"""For what the caching allocator loses to gaps: not measured."""


def memory_of(config: AnyConfig, precision: str, heads: str = "fp32") -> Memory | None:
    """The need of a network in these precisions, if it is one of the official ones."""
    half = {"bf16": "fp16"}
    key = "/".join(half.get(name, name) for name in (precision, heads))
    needs = json.loads(TABLE.read_text()).get(config.name, {}).get(key)
    if needs is None:
        return None
    return Memory(**{device: MemoryNeed(**need) for device, need in needs.items()})


def count_all(config: AnyConfig) -> dict[str, dict[str, dict[str, float]]]:
    """An entry of the table. Half precision is not computed in on the CPU."""
    few_blocks = _with_few_blocks(config)
    entry: dict[str, dict[str, dict[str, float]]] = {}
    for precision, heads in COUNTED:
        needs = {"cuda": _with_margin(_need(few_blocks, precision, heads, "cuda"))}
        if precision == "fp32":
            need = _need(few_blocks, precision, heads, "cpu")
            libraries = _reordered_weights(config) + PROGRAM
            needs["cpu"] = dataclasses.replace(need, fixed=need.fixed + libraries)
        entry[f"{precision}/{heads}"] = {
            device: {name: round(value, 1) for name, value in dataclasses.asdict(need).items()}
            for device, need in needs.items()
        }
    return entry


def _with_margin(need: MemoryNeed) -> MemoryNeed:
    return MemoryNeed(
        fixed=CUDA_MARGIN * need.fixed + CUDA_WORKSPACE,
        per_pixel=CUDA_MARGIN * need.per_pixel,
        per_call_pixel=CUDA_MARGIN * need.per_call_pixel,
        per_pair=CUDA_MARGIN * need.per_pair,
    )


def _need(config: AnyConfig, precision: str, heads: str, device: str) -> MemoryNeed:
    """The smallest linear bound on what is counted."""
    pixels = SIDES[0] * SIDES[1]

    def counted(frames: int, frames_per_call: int) -> int:
        return count(
            config, Reconstruction(frames, *SIDES, frames_per_call), device, precision, heads
        )

    fewer, more = MANY_FRAMES
    with_fewer, with_more = counted(fewer, 1), counted(more, 1)
    per_pixel = (with_more - with_fewer) / ((more - fewer) * pixels)
    fixed = max(0.0, with_more - per_pixel * more * pixels)
    beyond = [
        (counted(frames, call) - fixed - per_pixel * frames * pixels) / (call * pixels)
        for frames, call in FEW_FRAMES
    ]
    return MemoryNeed(
        fixed=fixed, per_pixel=per_pixel, per_call_pixel=max(0.0, *beyond), per_pair=0.0
    )


def _with_few_blocks(config: AnyConfig) -> AnyConfig:
    """The network with as many blocks as its taps need."""
    if isinstance(config, NestedConfig):
        any_view, metric = _with_few_blocks(config.any_view), _with_few_blocks(config.metric)
        return dataclasses.replace(config, any_view=any_view, metric=metric)
    if isinstance(config, Da3Config):
        return dataclasses.replace(config, depth=10, first_related=2, taps=(3, 5, 7, 9))
    return dataclasses.replace(config, depth=4, taps=(0, 1, 2, 3))


def _reordered_weights(config: AnyConfig) -> int:
    """On the CPU, the largest convolution's weights in another order, and while they are brought
    into it."""
    head: VitConfig = config.any_view if isinstance(config, NestedConfig) else config
    return 2 * FLOAT * 9 * head.head_stages[3] ** 2


def main() -> None:
    """Count every network and write the table."""
    table = {name: count_all(config) for name, config in CONFIGS.items()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    print(TABLE)


if __name__ == "__main__":
    main()
