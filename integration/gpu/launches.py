"""Cost of kernel launches on a GPU, and how far larger calls and CUDA graphs reduce it.

The service itself chooses the number of frames per call. CUDA graphs launch a whole call at once,
but hold its memory for each shape. The ratio to a graph is the possible gain by graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weights.measure_precision import smooth_frames

from .networks import Runner, archive, shortest
from .plan import LAUNCH_BOUND, Plan


def measure(plan: Plan, folder: Path, device: str) -> list[dict[str, Any]]:
    """Rows by size and frames per call: frames per second of encode and dense, and of graphs."""
    rows: list[dict[str, Any]] = []
    for size in (size for size in plan.sizes if size in LAUNCH_BOUND):
        heads = plan.precisions[0]
        runner = Runner(archive(folder, size, heads, heads), device)
        for chunk in plan.chunks:
            pixels = smooth_frames(chunk, plan.height, plan.width).to(device)
            row: dict[str, Any] = {"size": size, "frames_in_a_call": chunk}
            for name, call in _calls(runner, pixels).items():
                seconds = shortest(call, plan.runs, device)
                row[f"{name}_frames_per_second"] = chunk / seconds
                graph = _graph(call, device)
                row[f"{name}_graph_ratio"] = graph and (
                    shortest(graph, plan.runs, device) / seconds
                )
            rows.append(row)
    return rows


def _calls(runner: Runner, pixels: Tensor) -> dict[str, Callable[[], Tensor]]:
    """One call per entry point, on fixed tensors, as CUDA graphs require."""
    size = torch.tensor(pixels.shape[2:])
    every = torch.tensor([0, len(pixels)])
    with torch.no_grad():
        state = runner.module.relate(runner.module.encode(pixels), size)

    def encode() -> Tensor:
        with torch.no_grad(), torch.jit.optimized_execution(False):
            return runner.module.encode(pixels)

    def dense() -> Tensor:
        with torch.no_grad(), torch.jit.optimized_execution(False):
            return runner.module.dense(state, size, every)

    return {"encode": encode, "dense": dense}


def _graph(call: Callable[[], Tensor], device: str) -> Callable[[], None] | None:
    """Capture the call as a CUDA graph; None on other devices."""
    if not device.startswith("cuda"):
        return None
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(3):  # warm up: one-time choices and allocations must not be captured
            call()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
