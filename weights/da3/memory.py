"""Memory needs of the networks, for the metadata of their archives.

`weights.count_memory` counts the need for several numbers of frames; the contract's formula bounds
it from above. Activation memory does not depend on the number of blocks, so networks with few
blocks are counted. The memory of libraries is added to the count.

Counting takes a while, so `python -m weights.da3.memory` stores the result in `memory.json`.
"""

import dataclasses
import json
from pathlib import Path

from weights.contract.metadata import Memory, MemoryNeed
from weights.count_memory import Reconstruction, count
from weights.da3.config import CONFIGS, AnyConfig, Da3Config, NestedConfig, VitConfig

TABLE = Path(__file__).with_name("memory.json")
COUNTED = (("fp32", "fp32"), ("fp16", "fp32"), ("fp16", "fp16"))
"""Precisions of the backbone and the heads; bf16 needs as much as fp16."""
SIDES = (168, 252)
"""Height and width to count with: large enough that small tensors do not matter."""
MANY_FRAMES = (32, 64)
"""Numbers of frames at which no single call dominates, so the need is linear in the frames."""
FEW_FRAMES = ((1, 1), (8, 8), (16, 8))
"""(Frames, frames per call) at which a single call may dominate."""
FLOAT = 4
PROGRAM = 2 << 20
"""Bytes added on the CPU for threads, kernels and small tensors."""
CUDA_WORKSPACE = 256 << 20
"""Bytes added on CUDA for the workspaces of cuBLAS and cuDNN; an estimate, not measured."""
CUDA_MARGIN = 1.2
"""Factor for fragmentation in the caching allocator; an estimate, not measured."""


def memory_of(config: AnyConfig, precision: str, heads: str = "fp32") -> Memory | None:
    """The need of an official network in these precisions; None for others."""
    half = {"bf16": "fp16"}
    key = "/".join(half.get(name, name) for name in (precision, heads))
    needs = json.loads(TABLE.read_text()).get(config.name, {}).get(key)
    if needs is None:
        return None
    return Memory(**{device: MemoryNeed(**need) for device, need in needs.items()})


def count_all(config: AnyConfig) -> dict[str, dict[str, dict[str, float]]]:
    """Count an entry of the table. The CPU entry covers only fp32."""
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
    """The smallest linear bound on the counted memory."""
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
    """The network reduced to the blocks that its taps need."""
    if isinstance(config, NestedConfig):
        any_view, metric = _with_few_blocks(config.any_view), _with_few_blocks(config.metric)
        return dataclasses.replace(config, any_view=any_view, metric=metric)
    if isinstance(config, Da3Config):
        return dataclasses.replace(config, depth=10, first_related=2, taps=(3, 5, 7, 9))
    return dataclasses.replace(config, depth=4, taps=(0, 1, 2, 3))


def _reordered_weights(config: AnyConfig) -> int:
    """CPU memory for the reordered weights of the largest convolution, and for the reordering."""
    head: VitConfig = config.any_view if isinstance(config, NestedConfig) else config
    return 2 * FLOAT * 9 * head.head_stages[3] ** 2


def main() -> None:
    """Count every network and write the table."""
    table = {name: count_all(config) for name, config in CONFIGS.items()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    print(TABLE)


if __name__ == "__main__":
    main()
