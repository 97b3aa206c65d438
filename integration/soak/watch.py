"""Figures of the server over time."""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..bench.service import Server
from ..bench.stream.process import usage
from .tally import Tally
from .wire import Rest

INTERVAL = 5.0
"""Seconds between two looks."""
EXPECTED_ERRORS = {"message", "refused", "image", "socket"}
"""Kinds of errors that the clients cause on purpose."""
SHARE = 0.1
"""How much larger the last figures may be than the early ones."""


@dataclass(frozen=True)
class Sample:
    """One look at the server."""

    seconds: float
    resident: int
    anonymous: int
    """Resident memory without views of files."""
    open_files: int
    threads: int
    actors: int
    sessions: int
    websockets: int
    data_files: int


SLACK = {
    "resident": 24 << 20,
    "anonymous": 24 << 20,
    "open_files": 12,
    "threads": 6,
    "actors": 4,
    "sessions": 4,
    "websockets": 4,
    "data_files": 60,
}
"""What the figures may differ by in any case: the clients throw dice."""


def look(server: Server, seconds: float, metrics: str, tree: dict[str, Any]) -> Sample:
    """The figures now."""
    process = Path(f"/proc/{server.process.pid}")
    threads = re.search(r"^Threads:\s+(\d+)", (process / "status").read_text(), re.MULTILINE)
    memory = usage(server.process.pid)
    return Sample(
        seconds=seconds,
        resident=memory.resident,
        anonymous=memory.anonymous,
        open_files=len(list((process / "fd").iterdir())),
        threads=int(threads[1]) if threads else 0,
        actors=_count(tree),
        sessions=round(_sum(metrics, "pointstream_sessions")),
        websockets=round(_sum(metrics, "pointstream_websockets")),
        data_files=_files(Path(server.folder.name) / "sessions"),
    )


def unexpected_errors(metrics: str) -> dict[str, int]:
    """Errors that no client causes on purpose, by kind."""
    found = re.findall(r'^pointstream_errors_total\{kind="(\w+)"\} (\S+)$', metrics, re.MULTILINE)
    counts = {kind: round(float(count)) for kind, count in found}
    return {kind: count for kind, count in counts.items() if count and kind not in EXPECTED_ERRORS}


class Watch:
    """Looks at the server again and again."""

    def __init__(self, server: Server, rest: Rest, tally: Tally) -> None:
        self.server = server
        self.rest = rest
        self.tally = tally
        self.unanswered = 0
        self.samples: list[Sample] = []
        self.metrics = ""

    async def sample(self, seconds: float) -> Sample:
        """One look, which is not kept."""
        tree = await self.rest.json("GET", "/actors")
        status, _, body = await self.rest.send("GET", "/metrics")
        if status == 200:
            self.metrics = body.decode()
        unanswered = sum(self.tally.unanswered.values())
        if unanswered > self.unanswered:
            self.unanswered = unanswered
            sessions = await self.rest.json("GET", "/ws/sessions")
            print(f"when a message was unanswered: {tree}, {sessions}", file=sys.stderr, flush=True)
        return await asyncio.to_thread(look, self.server, seconds, self.metrics, tree)

    async def run(self, begin: float) -> None:
        """Looks until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self.samples.append(await self.sample(loop.time() - begin))
            await asyncio.sleep(INTERVAL)

    def medians(self, begin: float, end: float) -> dict[str, float]:
        """The median of each figure in a part of the time."""
        part = [asdict(each) for each in self.samples if begin <= each.seconds < end]
        return {name: statistics.median(each[name] for each in part) for name in SLACK if part}

    def growth(self, seconds: float) -> list[str]:
        """What is larger in the last sixth of the time than in the second."""
        early = self.medians(seconds / 6, seconds / 3)
        late = self.medians(seconds * 5 / 6, seconds)
        return [
            f"{name} grew from {early[name]:.0f} to {late[name]:.0f}"
            for name in early
            if late[name] > early[name] * (1 + SHARE) + SLACK[name]
        ]


def _sum(metrics: str, name: str) -> float:
    lines = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)
    return sum(map(float, lines))


def _count(actor: Any) -> int:
    """Actors of a tree."""
    return 1 + sum(_count(child) for child in actor.get("children", []))


def _files(folder: Path) -> int:
    # Sessions end while their folders are listed.
    found = 0
    for session in folder.iterdir():
        try:
            found += sum(1 for _ in session.iterdir())
        except OSError:
            continue
    return found
