"""What a worker in another process costs: `make bench ARGS="remote"`.

Two servers get the same requests in turn: one with a worker of its own, and one whose worker is a
process of its own behind a NATS server. Prints the ratio of their times, the bytes that go through
NATS, and what it costs if the worker has not kept the encoded images. All of it runs on this
machine: a network between machines adds its own time to the bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np

from integration.nats import Nats

from .photos import photos_of
from .service import ROOT, Photo, Server


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="remote ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--frames", type=int, default=12, help="images of a request")
    parser.add_argument("--process-res", type=int, default=504)
    parser.add_argument("--runs", type=int, default=5, help="requests of each; medians are shown")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="default: the sample scene")
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blobs", default="nats", help="where files travel")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pointstream")
    return parser.parse_args(arguments)


class RemoteServer:
    """A server whose only worker is another process."""

    def __init__(self, options: argparse.Namespace, worker: list[str]) -> None:
        """`worker`: further options of the worker."""
        self.nats = Nats()
        self.folder = tempfile.TemporaryDirectory(prefix="pointstream-worker-")
        shared = ["--nats", self.nats.url, "--blobs", options.blobs]
        shared += ["--model", options.model, "--device", options.device]
        command = [str(options.binary), "worker", "--worker-dir", self.folder.name]
        command += ["--log-level", "WARNING", *shared, *worker]
        self.worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.server = Server([*shared, "--workers-local", "0"], options.binary)

    def __enter__(self) -> RemoteServer:
        self.server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.close()
        self.worker.terminate()
        self.worker.wait(timeout=60)
        self.nats.close()
        self.folder.cleanup()


def cpu_seconds(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> float:
    """CPU time of a process so far."""
    text = Path(f"/proc/{process.pid}/stat").read_text()
    user, system = text.rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def photos_for(options: argparse.Namespace) -> list[Photo]:
    """The images of a request."""
    if options.photos is None:
        return photos_of(options.frames, 378, 504)[0]
    paths = sorted(path for path in options.photos.iterdir() if path.suffix.lower() == ".jpg")
    if len(paths) < options.frames:
        sys.exit(f"error: {options.photos} has {len(paths)} JPEG files of {options.frames}")
    return [Photo(path.name, path.read_bytes()) for path in paths[: options.frames]]


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(arguments)
    photos = photos_for(options)
    parameters = {"process_res": options.process_res}
    small = {"process_res": 252}
    local_options = ["--device", options.device, "--model", options.model]
    with (
        Server(local_options, options.binary) as local,
        RemoteServer(options, []) as remote,
        RemoteServer(options, ["--feature-cache-mb", "0"]) as forgetful,
    ):
        servers = {"local": local, "remote": remote.server, "forgetful": forgetful.server}
        requests: dict[str, list[float]] = {name: [] for name in servers}
        singles: dict[str, list[float]] = {name: [] for name in servers}
        traffic: list[tuple[int, int]] = []
        busy: list[tuple[float, float]] = []
        processes = (remote.server.process, remote.worker)
        # The first run compiles the model's code.
        for run in range(options.runs + 1):
            for name, server in servers.items():
                before = remote.nats.bytes()
                idle = [cpu_seconds(process) for process in processes]
                measured = asyncio.run(server.measure(photos, parameters))
                after = remote.nats.bytes()
                worked = [cpu_seconds(process) for process in processes]
                one = asyncio.run(server.measure(photos[:3], small))
                if run > 0:
                    requests[name].append(measured.request)
                    singles[name].append(one.request)
                    if name == "remote":
                        traffic.append((after[0] - before[0], after[1] - before[1]))
                        busy.append((worked[0] - idle[0], worked[1] - idle[1]))
    whole = {name: float(np.median(seconds)) for name, seconds in requests.items()}
    single = {name: float(np.median(seconds)) for name, seconds in singles.items()}
    print(
        f"{len(photos)} images at {options.process_res}, {options.model}, files through"
        f" {options.blobs}, medians of {options.runs}:"
    )
    print(f"  local  {whole['local']:.2f} s")
    print(f"  remote {whole['remote']:.2f} s: {whole['remote'] / whole['local']:.3f} times")
    ratio = whole["forgetful"] / whole["remote"]
    print(f"  remote without kept encoded images: {ratio:.2f} times the remote one")
    added = 1000 * (single["remote"] - single["local"])
    print(f"three images at 252: {1000 * single['local']:.0f} ms, {added:+.0f} ms remote")
    into, out = (np.median([pair[i] for pair in traffic]) / len(photos) / 1e6 for i in (0, 1))
    print(f"bytes for each image: {into:.2f} MB into NATS, {out:.2f} MB out of it")
    of_server, of_worker = (np.median([pair[i] for pair in busy]) / len(photos) for i in (0, 1))
    print(
        f"CPU time for each image: {of_server:.2f} s in the server, {of_worker:.2f} s in the worker"
    )
