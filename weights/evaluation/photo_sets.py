"""The sets of photos that a folder gives: orders, subsets, sizes, noise and devices.

All draws have fixed seeds: the same folder always gives the same sets.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from weights.evaluation.preparation import Device

LEAST_FRAMES = 3
RANDOM_SIZES = (3, 5, 8, 14)
BASE_FRAMES = 14
"""Frames of the sets with other sizes, noise or devices, spread over the folder."""
ZOOM = 1.67
LEAST_SHARED = 20
"""Points that three random frames must share; else they need not fit together."""
ATTEMPTS = 1000


@dataclass(frozen=True)
class PhotoSet:
    """Photos that are reconstructed together."""

    kind: str
    """Sets of one kind share rows of the summary."""
    name: str
    frames: tuple[int, ...]
    """Indices of photos in the order in which the model gets them."""
    devices: tuple[Device, ...]
    """The device that took each of them."""
    noise_seed: int | None = None


@dataclass(frozen=True)
class Extent:
    """How many sets of each kind."""

    steps: tuple[int, ...]
    offsets: int
    firsts: tuple[int, ...]
    shuffles: int
    draws: int
    reductions: tuple[float, ...]
    noises: int


QUICK = Extent((2,), 1, (10,), 1, 1, (0.5,), 1)
FULL = Extent((2, 3, 5), 3, (5, 10, 20, 40), 2, 3, (0.75, 0.5), 6)

Sets = Iterator[PhotoSet]
Shared = Callable[[Sequence[int]], int]
"""Number of points that some frames share in the reference."""


def photo_sets(count: int, shared: Shared, suite: str) -> list[PhotoSet]:
    """The sets of a suite for a folder of `count` photos."""
    extent = QUICK if suite == "quick" else FULL
    builders = {
        "orders": _orders,
        "random": _random,
        "sampling": _sampling,
        "noise": _noise,
        "devices": _devices,
    }
    chosen = builders.values() if suite in ("quick", "full") else [builders[suite]]
    sets = [_plain("all", "all", range(count))]
    for build in chosen:
        sets += build(count, shared, extent)
    return [each for each in sets if len(each.frames) >= LEAST_FRAMES]


SUITES = ("quick", "full", "orders", "random", "sampling", "noise", "devices")


def _plain(kind: str, name: str, frames: Sequence[int]) -> PhotoSet:
    """Photos as they are."""
    return PhotoSet(kind, name, tuple(int(f) for f in frames), (Device(),) * len(frames))


def _orders(count: int, _: Shared, extent: Extent) -> Sets:
    """Parts of the folder and other orders."""
    for step in extent.steps:
        for offset in range(min(step, extent.offsets)):
            name = f"every {_ordinal(step)} from {offset}"
            yield _plain("thinned", name, range(offset, count, step))
    for first in extent.firsts:
        if first < count:
            yield _plain("first", f"first {first}", range(first))
    yield _plain("order", "reversed", range(count)[::-1])
    for seed in range(extent.shuffles):
        order = np.random.default_rng([1, seed]).permutation(count)
        yield _plain("order", f"shuffled {seed}", order.tolist())


def _random(count: int, shared: Shared, extent: Extent) -> Sets:
    """Random frames, in the folder's order."""
    for size in RANDOM_SIZES:
        for seed in range(extent.draws if size < count else 0):
            frames = _draw(count, size, seed, shared)
            if frames:
                yield _plain(f"random {size}", f"random {size}, {seed}", frames)


def _draw(count: int, size: int, seed: int, shared: Shared) -> list[int]:
    """Random frames; three of them must overlap. Empty without such frames."""
    rng = np.random.default_rng([2, size, seed])
    for _ in range(ATTEMPTS):
        frames = np.sort(rng.permutation(count)[:size]).tolist()
        if size > LEAST_FRAMES or shared(frames) >= LEAST_SHARED:
            return frames
    return []


def _base(count: int) -> range:
    """At most `BASE_FRAMES` frames, spread over the folder."""
    return range(0, count, -(-count // BASE_FRAMES))


def _sampling(count: int, _: Shared, extent: Extent) -> Sets:
    """The same photos as made of fewer pixels."""
    frames = tuple(_base(count))
    if len(frames) < count:  # else they are the set "all"
        yield _plain("sampling", "photos at full size", frames)
    for reduction in extent.reductions:
        name = f"photos at {reduction:g} of their size"
        devices = (Device(reduction=reduction),) * len(frames)
        yield PhotoSet("sampling", name, frames, devices)


def _noise(count: int, _: Shared, extent: Extent) -> Sets:
    """The same photos with noise that is hardly visible."""
    frames = tuple(_base(count))
    for seed in range(extent.noises):
        devices = (Device(),) * len(frames)
        yield PhotoSet("noise", f"noise of one grey level, {seed}", frames, devices, seed)


def _devices(count: int, _: Shared, extent: Extent) -> Sets:
    """Photos of two devices in turn, and of three one after another."""
    frames = tuple(_base(count))
    two = (Device(), Device(zoom=ZOOM))
    yield PhotoSet(
        "devices",
        "two focal lengths in turn",
        frames,
        tuple(two[k % 2] for k in range(len(frames))),
    )
    three = (Device(), Device(1.25, 0.75), Device(ZOOM, 0.5))
    yield PhotoSet(
        "devices",
        "three devices after one another",
        frames,
        tuple(three[3 * k // len(frames)] for k in range(len(frames))),
    )


def _ordinal(step: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(step, f"{step}th")
