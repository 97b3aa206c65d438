"""The measurements to run: all of them on a GPU, tiny ones to test the script on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

SERVICE_TARGETS = {"small": 1000.0, "base": 550.0, "large": 200.0}
"""Frames per second through the service on an H100, at 504x336 with 32 frames."""


LAUNCH_BOUND = ("small", "base")
"""Sizes whose operations are so small that the launch cost matters."""
ONE_PRECISION = ("giant",)
"""Sizes to test in only one half precision, because exporting them takes long."""


@dataclass(frozen=True)
class Plan:
    """Sizes of networks, frames and images."""

    sizes: tuple[str, ...]
    precisions: tuple[str, ...]
    """Precisions to test; throughput and memory are measured with the first."""
    height: int
    width: int
    frames: tuple[int, ...]
    """Numbers of frames, ascending."""
    chunks: tuple[int, ...]
    """Numbers of frames per call."""
    runs: int

    @property
    def most_frames(self) -> int:
        """The largest number of frames."""
        return self.frames[-1]


FULL = Plan(
    sizes=("small", "base", "large", "giant"),
    precisions=("fp16", "bf16"),
    height=336,
    width=504,
    frames=(1, 2, 8, 32, 100),
    chunks=(1, 4, 8, 16, 32),
    runs=3,
)
TINY = Plan(
    sizes=("small",),
    precisions=("fp32",),
    height=56,
    width=84,
    frames=(1, 2, 4),
    chunks=(1, 2),
    runs=1,
)
