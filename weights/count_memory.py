"""Count the memory of a network's tensors on a device that need not exist.

The network runs on PyTorch's fake tensors, which have a shape, a type and a device but no content,
in the order in which the service calls an archive. The script adds up the tensors alive at the same
time. It thus finds the memory need of any size and precision on CUDA without a GPU. It does not
count the libraries' own memory: workspaces of convolutions and matrix products, and allocator
rounding and fragmentation.
"""

import argparse
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from weights.contract.metadata import PRECISIONS
from weights.da3.config import CONFIGS, AnyConfig
from weights.da3.precision import set_precision
from weights.da3.variants import build_model, build_network
from weights.measure_memory import numbers

ALLOCATION = 512
"""PyTorch's CUDA caching allocator rounds sizes up to multiples of this many bytes."""


class LiveMemory(TorchDispatchMode):
    """Tracks the current and peak size in bytes of the live tensors on one device type."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.now = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}
        self._not_counted: set[int] = set()

    def exclude(self, weights: Iterable[Tensor]) -> None:
        """Exclude the storages of these tensors."""
        self._not_counted.update(weight.untyped_storage()._cdata for weight in weights)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.equal.default:
            return True  # quantile on the CPU compares content, and fake tensors have none
        results = func(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor) and result.device.type == self.device:
                self._count(result.untyped_storage())
        return results

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._sizes or key in self._not_counted:
            return
        self._sizes[key] = -(-storage.nbytes() // ALLOCATION) * ALLOCATION
        self.now += self._sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


@dataclass(frozen=True)
class Reconstruction:
    """The shape of a reconstruction."""

    frames: int
    height: int
    width: int
    frames_per_call: int

    @property
    def call(self) -> tuple[int, int]:
        """The frames of the last call: begin and end."""
        return self.frames - self.frames_per_call, self.frames


def count(
    config: AnyConfig, work: Reconstruction, device: str, precision: str, heads: str = "fp32"
) -> int:
    """Peak memory of a reconstruction in bytes, without the weights.

    Of several similar calls only the last runs; empty tensors represent the results of the others.
    """
    with torch.device("meta"):
        network = build_network(config)
        set_precision(network, precision, heads)
        model = build_model(network)
    with FakeTensorMode(), fused_attention(device), torch.no_grad():
        _move(model, device)
        with LiveMemory(device) as memory:
            memory.exclude([*model.parameters(), *model.buffers()])
            _reconstruct(model, work, device)
    return memory.peak


def _reconstruct(model: Any, work: Reconstruction, device: str) -> None:
    """Make the service's calls in its order, and keep the same tensors alive."""
    size = (work.height, work.width)
    shape = (work.frames_per_call, 3, *size)
    others = work.call[0]
    row = model.encode(torch.empty(shape, dtype=torch.uint8, device=device))[:1].clone()
    features = [torch.empty_like(row) for _ in range(others)]
    features.append(model.encode(torch.empty(shape, dtype=torch.uint8, device=device)))
    del row
    rows = torch.cat(features)
    state = model.relate(rows, size)
    del rows
    cameras = model.cameras(state, size)
    found = model.dense(state, size, work.call)
    if not hasattr(model, "fuse"):
        return
    maps = [found, *(torch.empty_like(found[:1]) for _ in range(others))]
    dense = torch.cat(maps)
    del maps, found
    model.align(cameras, dense, size)
    model.fuse(state, dense, size, work.call)


def _move(model: nn.Module, device: str) -> None:
    """Replace a model's weights by fake tensors on a device."""
    for module in model.modules():
        for weights in (module._parameters, module._buffers):
            for name, weight in weights.items():
                if weight is not None:
                    fake = torch.empty(weight.shape, dtype=weight.dtype, device=device)
                    weights[name] = nn.Parameter(fake) if isinstance(weight, nn.Parameter) else fake


@contextmanager
def fused_attention(device: str) -> Iterator[None]:
    """Use the fused attention kernels of CUDA.

    On fake tensors PyTorch cannot query the GPU and would choose the kernel that materialises the
    matrix of scores.
    """

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.dtype == torch.float32:
            kernel = torch.ops.aten._scaled_dot_product_efficient_attention
            return kernel(query, key, value, None, False)[0]
        return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]

    if device == "cpu":
        yield
        return
    with mock.patch.object(F, "scaled_dot_product_attention", attend):
        yield


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.count_memory", description=__doc__)
    parser.add_argument("cases", nargs="+", metavar="FRAMESxHEIGHTxWIDTH")
    parser.add_argument("--models", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--heads", choices=PRECISIONS, default="fp32")
    parser.add_argument("--frames-per-call", type=int, default=8)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    options = parser.parse_args()
    print(f"{'model':24} {'case':14} {'counted':>9}  MB without the weights")
    for name in options.models:
        for case in options.cases:
            frames, height, width = numbers(case)
            work = Reconstruction(frames, height, width, min(frames, options.frames_per_call))
            found = count(CONFIGS[name], work, options.device, options.precision, options.heads)
            print(f"{name:24} {case:14} {found / 1e6:9.1f}")


if __name__ == "__main__":
    main()
