"""Many idle sockets and some active ones: `make load ARGS="--idle 10000 --active 1000"`.

Prints the memory of the server for each idle socket, how long pings and uploads of the active ones
take while the others are idle, and what memory is left when all have gone. The clients are other
processes on the same cores. Ends with status 1 if a message is not answered, an idle socket
costs more than it may, pings take too long, or memory is not given back. `make load ARGS="uploads"`
sends large photos instead.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ..bench.service import ROOT, Server
from ..bench.stream.process import usage
from . import uploads
from .process import Crew
from .sockets import Figures

KILOBYTE = 1000
SOCKETS_PER_SESSION = 100
SETTLE_SECONDS = 25.0
"""The server gives freed memory back every 10 seconds."""
SIDE = 64
"""Pixels of a side of the uploaded image."""
LEFT_SHARE = 0.1
"""Part of the memory of all sockets that may be left when they have gone."""


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make load ARGS=...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--active", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of pings and uploads")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between two messages")
    parser.add_argument("--upload-share", type=float, default=0.01, help="messages with an image")
    parser.add_argument("--processes", type=int, default=4, help="of clients")
    parser.add_argument("--most-bytes", type=float, default=24_000, help="for an idle socket")
    parser.add_argument("--most-ping", type=float, default=0.1, help="p99 in seconds")
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument(
        "--server", type=Path, default=ROOT / "target/release/pointstream", help="the program"
    )
    return parser.parse_args(arguments)


def picture() -> bytes:
    """A small image with detail."""
    pixels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def settled(server: Server) -> int:
    """The memory of the server in bytes, without views of files, when it no longer changes."""
    time.sleep(SETTLE_SECONDS)
    return usage(server.process.pid).anonymous


def shares(sessions: list[str], count: int, parts: int) -> list[tuple[list[str]]]:
    """So many sockets, as even as possible over the sessions and the processes."""
    wanted = [sessions[index % len(sessions)] for index in range(count)]
    return [(wanted[part::parts],) for part in range(parts)]


def line(name: str, seconds: list[float]) -> str:
    """The distribution of some times."""
    if not seconds:
        return f"{name}: none"
    p50, p99 = (1000 * np.percentile(seconds, part) for part in (50, 99))
    most = 1000 * max(seconds)
    return f"{name}: {len(seconds)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {most:.0f} ms"


def load(server: Server, options: argparse.Namespace) -> list[str]:
    """Open, measure and close the sockets; return what is wrong."""
    wrong: list[str] = []
    sockets = options.idle + options.active
    sessions = [
        server.rest("POST", "/ws/session/create?process_res=64&max_images=1000")["session_id"]
        for _ in range(-(-sockets // SOCKETS_PER_SESSION))
    ]
    crew = Crew(options.processes, server.base, picture())
    empty = settled(server)
    begin = time.monotonic()
    crew.each("open", [(*part, True) for part in shares(sessions, options.idle, options.processes)])
    taken = time.monotonic() - begin
    full = settled(server)
    each = (full - empty) / options.idle
    print(
        f"{options.idle} idle sockets, opened in {taken:.1f} s: {each / KILOBYTE:.1f} kB each "
        f"({empty / 1e6:.0f} MB before, {full / 1e6:.0f} MB after)"
    )
    if each > options.most_bytes:
        wrong.append(f"an idle socket costs {each / KILOBYTE:.1f} kB")
    crew.each(
        "open", [(*part, False) for part in shares(sessions, options.active, options.processes)]
    )
    cpu = usage(server.process.pid).cpu
    parts: list[Figures] = crew.all("run", options.seconds, options.period, options.upload_share)
    cpu = usage(server.process.pid).cpu - cpu
    pings = [seconds for part in parts for seconds in part.pings]
    print(f"{options.active} active sockets beside them for {options.seconds:.0f} s:")
    print("  " + line("pings", pings))
    print("  " + line("uploads", [seconds for part in parts for seconds in part.uploads]))
    print(f"  {cpu / options.seconds:.2f} cores of the server")
    for failure in [failure for part in parts for failure in part.failures][:5]:
        wrong.append(f"an active socket failed: {failure}")
    if pings and np.percentile(pings, 99) > options.most_ping:
        wrong.append("pings take too long")
    answered = sum(crew.all("ping_idle"))
    print(f"{answered} of {options.idle} idle sockets answer a ping afterwards")
    if answered != options.idle:
        wrong.append(f"{options.idle - answered} idle sockets did not answer")
    crew.all("close")
    crew.end()
    for session in sessions:
        server.rest("DELETE", f"/ws/session/{session}")
    left = settled(server) - empty
    print(f"when all have gone, {left / 1e6:.0f} MB more than before the first one")
    if left > LEFT_SHARE * (full - empty) + (8 << 20):
        wrong.append(f"{left / 1e6:.0f} MB were not given back")
    return wrong


def measure(options: argparse.Namespace) -> list[str]:
    """Start a server for so many sockets; return what is wrong."""
    sockets = options.idle + options.active
    arguments = ["--device", "cpu", "--model", options.model]
    arguments += ["--max-clients", str(sockets + 100)]
    arguments += ["--max-sessions", str(-(-sockets // SOCKETS_PER_SESSION))]
    arguments += ["--max-connections", str(SOCKETS_PER_SESSION + 1)]
    with Server(arguments, options.server) as server:
        return load(server, options)


def main() -> None:
    """Run the command."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["uploads"]:
        wrong = uploads.measure(uploads.parse_arguments(arguments[1:]))
    else:
        wrong = measure(parse_arguments(arguments))
    print("\n".join(wrong or ["all within the limits"]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
