"""The memory that the networks need: a formula in their widths.

Its terms are the tensors that are alive at once where memory is highest; the factors were fitted
to what each stage needs on the CPU in fp32, for SMALL, BASE, LARGE and the monocular network. For
other precisions, CUDA, the giant size and the nested pair it is an extrapolation. All terms are
linear, because attention never makes a matrix of scores.
"""

from typing import NamedTuple

from weights.contract.metadata import Memory, MemoryNeed
from weights.da3.config import PATCH_SIZE, AnyConfig, MetricConfig, NestedConfig, VitConfig
from weights.da3.dpt import OUTPUT_WIDTH

FLOAT = 4
PIXELS = PATCH_SIZE**2
BLOCK_TENSORS = 17
"""Tensors as large as all tokens while a block runs: four of them make up one hidden layer."""
RELATE_TENSORS = 19
"""The same with those of the taps."""
TAP_TENSORS = 8
"""Four taps of two tokens each."""
PROGRAM = 2 << 20
"""Threads, kernels and small tensors."""


class Stages(NamedTuple):
    """Bytes for each patch, a square of `PATCH_SIZE` x `PATCH_SIZE` pixels of one frame."""

    features: int
    """Of all frames, kept: a row of `encode`."""
    encode: int
    """Of the frames in a call, while they are encoded."""
    relate: int
    """Of all frames while they are related, besides features; with the state."""
    state: int
    """Of all frames, kept from then on."""
    dense: int
    """Of the frames in a call, while `dense` runs."""
    maps: int
    """Of all frames, from `dense` to the end of `fuse`; 0 without it."""


def memory_of(config: AnyConfig, backbone_bytes: int) -> Memory:
    """The need of a network whose backbone computes in numbers of so many bytes.

    Nothing is said about CUDA, where it was not measured.
    """
    return Memory(cpu=_need(_stages(config, backbone_bytes), _fixed(config)))


def _need(stages: Stages, fixed: int) -> MemoryNeed:
    """The smallest linear bound on the peak for all numbers of frames.

    With `N` frames of which `n <= N` are in a call, the peak for each patch is the largest of
    `N features + n encode`, `N (2 features + relate)`, as `relate` takes the features in one piece,
    and `N (features + state + maps) + n dense`.
    """
    kept = stages.features + stages.state + stages.maps
    every = max(2 * stages.features + stages.relate, kept)
    call = max(0, stages.features + stages.encode - every, kept + stages.dense - every)
    return MemoryNeed(
        fixed=float(fixed), per_pixel=every / PIXELS, per_call_pixel=call / PIXELS, per_pair=0.0
    )


def _stages(config: AnyConfig, backbone_bytes: int) -> Stages:
    maps = 2 * PIXELS * FLOAT  # of depth and sky
    if isinstance(config, NestedConfig):
        token = backbone_bytes * config.any_view.width
        return Stages(
            features=token + maps,
            encode=2 * maps
            + max(BLOCK_TENSORS * token, _encode_metric(config.metric, backbone_bytes)),
            relate=RELATE_TENSORS * token + 2 * maps,
            state=TAP_TENSORS * token + maps,
            dense=_head(config.any_view, 2, backbone_bytes) + 3 * maps,
            maps=7 * maps,  # four channels as pieces and as a whole, and a part of them in order
        )
    if isinstance(config, MetricConfig):
        return Stages(
            features=maps,
            encode=_encode_metric(config, backbone_bytes),
            relate=3 * maps,
            state=3 * maps // 2,
            dense=4 * maps,
            maps=0,
        )
    token = backbone_bytes * config.width
    return Stages(
        features=token,
        encode=BLOCK_TENSORS * token,
        relate=RELATE_TENSORS * token,
        state=TAP_TENSORS * token,
        dense=_head(config, 2, backbone_bytes),
        maps=0,
    )


def _encode_metric(config: MetricConfig, backbone_bytes: int) -> int:
    """For each patch: the blocks, or the head with its taps as a list and in one piece."""
    token = backbone_bytes * config.width
    return max(BLOCK_TENSORS * token, TAP_TENSORS * token + _head(config, 1, backbone_bytes))


def _head(config: VitConfig, tokens_of_tap: int, backbone_bytes: int) -> int:
    """For each patch: maps at the size of the image and what they are made of."""
    taps = 4 * tokens_of_tap * config.width * FLOAT if backbone_bytes < FLOAT else 0
    half = config.head_width // 2
    enlarging = (64 + PIXELS) * half
    ending = PIXELS * (half + OUTPUT_WIDTH + 4)
    return taps + FLOAT * max(enlarging, ending)


def _fixed(config: AnyConfig) -> int:
    """The largest convolution's weights in another order, and while they are brought into it."""
    head = config.any_view if isinstance(config, NestedConfig) else config
    return 2 * FLOAT * 9 * head.head_stages[3] ** 2 + PROGRAM
