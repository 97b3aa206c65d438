"""Streams images through the real program and measures every update."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..service import Photo, Server
from .accuracy import DepthScores, PoseScores, Truth, read_arrays
from .client import Update, stream
from .picture import draw

WINDOW = 24
"""Images that the service reconstructs by one run of the model, unless it is told otherwise."""
CHECKPOINTS = (100, 200, 400, 600, 800)
"""Images at which the poses are compared on the way."""
LIMIT = 1000
"""Images that a session may have by default."""


UNKNOWN = DepthScores(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    every: int
    """Images of an update."""
    whole: int
    """Images that are also reconstructed all at once; 0 for none."""
    singles: int
    """Windows that are also reconstructed alone."""
    parameters: dict[str, Any]
    """Of the sessions."""
    picture: Path | None
    """File for a picture of the final result."""


@dataclass(frozen=True)
class Accuracy:
    """Errors of one result, and what it cost."""

    poses: PoseScores
    depth: DepthScores
    cpu: float
    """CPU time of the server in seconds, from the first image on."""


@dataclass(frozen=True)
class Findings:
    """What one run has found."""

    model: str
    appends: bool
    """Whether updates had only what was new."""
    size: tuple[int, int]
    """Processed width and height in pixels."""
    updates: list[Update]
    nothing_new: Update
    """Asked for when the map had all images: what a client waits for if the windows ran ahead."""
    seconds: float
    """From the first image until the last byte of the last update."""
    window: float
    """Seconds that the worker was busy for each window."""
    windows: int
    final: Update
    accuracy: dict[str, Accuracy]


class Images:
    """The images of a stream in the order in which they are sent."""

    def __init__(self, truth: Truth, order: list[int]) -> None:
        self.paths = [truth.photos.paths[index] for index in order]
        self.names = [path.name for path in self.paths]

    def photos(self, begin: int, end: int) -> list[Photo]:
        """Some of them, read now."""
        return [Photo(path.name, path.read_bytes()) for path in self.paths[begin:end]]


async def measure(server: Server, truth: Truth, images: Images, plan: Plan, say: Any) -> Findings:
    """Stream the images, then reconstruct parts of them alone."""
    accuracy: dict[str, Accuracy] = {}
    count = len(images.paths)
    shared = {"max_images": max(count, 1), **plan.parameters}
    async with stream(server, {**shared, "finalize_mode": "refine"}) as session:
        busy, windows = await _worked(server)
        updates: list[Update] = []
        seconds = 0.0
        for begin in range(0, count, plan.every):
            end = min(begin + plan.every, count)
            update = await session.update(images.photos(begin, end))
            updates.append(update)
            seconds += update.upload + update.last_byte
            say(
                f"{end} of {count} images, {update.cpu:.2f} s of CPU time for the last {plan.every}"
            )
            name = f"map, {end} images"
            if session.appends:
                # Its lists are only about new images; the final result is about all.
                continue
            if begin < plan.whole <= end:
                accuracy[name] = await _assess(server, session.session, truth, images, updates)
            elif end in CHECKPOINTS:
                poses = truth.poses(update.metadata, images.names[:end])
                accuracy[name] = Accuracy(poses, UNKNOWN, sum(each.cpu for each in updates))
        now_busy, now_windows = await _worked(server)
        nothing_new = await session.update([])
        final = await session.update([], "finalize")
        name = f"map, {count} images"
        accuracy[name] = await _assess(
            server, session.session, truth, images, [*updates, nothing_new, final]
        )
        if plan.picture:
            await asyncio.to_thread(draw, server, session.session, final.metadata, plan.picture)
    if plan.whole:
        end = _end(plan.whole, plan.every, count)
        say(f"{end} images at once")
        name = f"all at once, {end} images"
        accuracy[name] = await _alone(server, truth, images, range(end), shared, "whole")
    if plan.singles:
        say(f"{plan.singles} windows alone")
        begins = np.linspace(0, max(count - WINDOW, 0), plan.singles).astype(int)
        alone = [
            await _alone(
                server, truth, images, range(begin, min(begin + WINDOW, count)), shared, "auto"
            )
            for begin in begins
        ]
        accuracy[f"{len(alone)} single windows"] = _together(alone)
    return Findings(
        model=final.metadata["model"],
        appends=session.appends,
        size=tuple(final.metadata["processed_size"]),
        updates=updates,
        nothing_new=nothing_new,
        seconds=seconds,
        window=(now_busy - busy) / max(now_windows - windows, 1),
        windows=now_windows - windows,
        final=final,
        accuracy=accuracy,
    )


def _end(least: int, every: int, count: int) -> int:
    """Images after the first update with at least so many."""
    return min(-(-least // every) * every, count)


async def _assess(
    server: Server, session: str, truth: Truth, images: Images, updates: list[Update]
) -> Accuracy:
    """Errors of the newest result of a session, which is that of the last update."""
    last = updates[-1]
    names = last.metadata["frames"]
    arrays = None
    if truth.depth is not None:
        arrays = await asyncio.to_thread(read_arrays, server, session, names)
    return Accuracy(
        poses=truth.poses(last.metadata, images.names[: last.images]),
        depth=truth.depth_scores(arrays, WINDOW) if arrays else UNKNOWN,
        cpu=sum(update.cpu for update in updates),
    )


async def _alone(
    server: Server,
    truth: Truth,
    images: Images,
    chosen: range,
    parameters: dict[str, Any],
    mode: str,
) -> Accuracy:
    """Some images as a session of their own."""
    async with stream(server, {**parameters, "finalize_mode": mode}) as session:
        update = await session.update(images.photos(chosen.start, chosen.stop), "finalize")
        part = Images(truth, [])
        part.names = images.names[chosen.start : chosen.stop]
        return await _assess(server, session.session, truth, part, [update])


def _together(parts: list[Accuracy]) -> Accuracy:
    """The means over parts."""
    return Accuracy(
        poses=PoseScores(
            sum(part.poses.frames for part in parts),
            sum(part.poses.placed for part in parts),
            *np.mean([part.poses[2:] for part in parts], axis=0).tolist(),
        ),
        depth=DepthScores(*np.mean([part.depth for part in parts], axis=0).tolist()),
        cpu=sum(part.cpu for part in parts),
    )


async def _worked(server: Server) -> tuple[float, int]:
    """Seconds that the workers were busy since the start, and runs of the model."""

    def read() -> str:
        with urllib.request.urlopen(f"{server.base}/metrics", timeout=60) as response:
            return response.read().decode()

    text = await asyncio.to_thread(read)
    busy = re.findall(r"^pointstream_worker_busy_seconds_total\{.*\} (\S+)$", text, re.MULTILINE)
    runs = re.findall(
        r'^pointstream_jobs_total\{kind="reconstruct",outcome="succeeded"\} (\S+)$',
        text,
        re.MULTILINE,
    )
    return sum(map(float, busy)), round(sum(map(float, runs)))
