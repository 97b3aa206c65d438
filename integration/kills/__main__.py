"""Command line: `python -m integration.kills --kills 1000`.

Clients stream small images to a server that is killed (SIGKILL) at random moments and started
again in its data directory. Before the last kills of a round every second client asks for its final
result. Then the server runs on until all that was promised is there, or not. At last each session
is exported, and its images are compared with those that were sent. Ends with an error if an
acknowledged image or an accepted request is lost.

With --workers the server has so many workers in other processes, and mostly something else fails: a
worker is killed, ended, stopped for a while or cut off from NATS, the server is cut off, or NATS is
killed.

With --gateways so many servers share the sessions, and clients use any of them. Each is killed,
ended, stopped for a while or cut off from NATS. With --network each process is on a machine of its
own, any link between two of them is cut, and clocks jump.

With both, where strace is installed, the disk of NATS or of one of several servers is slow for a
while, too.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from .client import Loss, StreamingClient
from .elsewhere import Elsewhere
from .gateways import Gateways, free_port
from .network import Network, enter

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 120.0
# New sessions after so many kills, so that the clients' sessions do not become full.
KILLS_PER_ROUND = 25
LONGEST_LIFE = 1.5
SERVER_SHARE = 0.25
"""Of the faults that concern the server, if it has workers in other processes."""
GATEWAY_SHARE = 0.6
"""The same of several servers."""
FINAL_SHARE = 0.2
"""Of the kills of a round that come after the first request for a final result."""


class Killed:
    """A server on a fixed port that is killed and started again."""

    def __init__(self, binary: Path, options: list[str], folder: str) -> None:
        self.port = free_port()
        self.binary, self.folder = binary, folder
        command = [str(binary), "--port", str(self.port), "--data-dir", folder]
        self.command = [*command, "--log-level", "ERROR", "--log-format", "json", *options]
        self.base = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    async def start(self) -> float:
        """Start, and return the seconds until it listens."""
        begin = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        line = await asyncio.wait_for(asyncio.to_thread(self._first_line), START_TIMEOUT)
        if not line.startswith("listening on "):
            sys.exit("error: the server did not start")
        return time.perf_counter() - begin

    def _first_line(self) -> str:
        assert self.process is not None and self.process.stdout is not None
        return self.process.stdout.readline()

    @property
    def bases(self) -> list[str]:
        """The addresses for clients."""
        return [self.base]

    async def fault(self) -> str:
        """Kill the server and start it again; returns what was done."""
        self.kill()
        await self.start()
        return "server killed"

    async def settle(self) -> None:
        """It runs."""

    async def files_of(self, clients: list[StreamingClient]) -> list[set[str]]:
        """Digests of the files of the clients' sessions, as they are exported."""
        self.kill()
        files = [self._exported(client.session) for client in clients]
        await self.start()
        return files

    def _exported(self, session: str) -> set[str]:
        with tempfile.TemporaryDirectory(prefix="pointstream-export-") as folder:
            archive = Path(folder) / "session.tar"
            command = [str(self.binary), "data", "export", self.folder, session, str(archive)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=START_TIMEOUT)
            with tarfile.open(archive) as members:
                opened = (members.extractfile(member) for member in members)
                return {hashlib.sha256(file.read()).hexdigest() for file in opened if file}

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


async def run_round(
    server: Killed | Gateways,
    elsewhere: Elsewhere | None,
    kills: int,
    seed: int,
    options: argparse.Namespace,
) -> list[Loss]:
    """Kill the server so often under the load of some clients; return their losses."""
    chance = random.Random(seed)
    seeds = [chance.getrandbits(32) for _ in range(options.clients)]
    streaming = [StreamingClient(server.bases, seed) for seed in seeds]
    for client in streaming:
        await asyncio.to_thread(client.create)
    stop = asyncio.Event()
    tasks = [asyncio.create_task(client.stream(stop)) for client in streaming]
    for left in range(kills, 0, -1):
        if left == max(1, int(kills * FINAL_SHARE)):
            for client in streaming[::2]:
                client.finalizes = True
        await asyncio.sleep(chance.uniform(0.05, LONGEST_LIFE))
        share = GATEWAY_SHARE if isinstance(server, Gateways) else SERVER_SHARE
        if elsewhere and chance.random() > share:
            kind = await elsewhere.fault()
        else:
            kind = await server.fault()
        if options.verbose:
            print(f"fault: {kind}", file=sys.stderr, flush=True)
    if elsewhere:
        await elsewhere.settle()
    await server.settle()
    stop.set()
    await asyncio.gather(*tasks)
    for client in streaming:
        try:
            await client.collect()
        except TimeoutError:
            print(f"an answer did not come: {client.missing()}", file=sys.stderr)
    files = await server.files_of(streaming)
    losses = [
        await asyncio.to_thread(client.loss, of_session)
        for client, of_session in zip(streaming, files, strict=True)
    ]
    for client in streaming:
        await asyncio.to_thread(client.delete)
    return losses


async def run(options: argparse.Namespace) -> bool:
    """Run all rounds and print a line for each; return whether nothing was lost."""
    images = answers = failed = repeated = finals = killed = 0
    with tempfile.TemporaryDirectory(prefix="pointstream-kills-") as folder:
        given = ["--model", str(options.model), *options.options]
        elsewhere = None
        if options.workers or options.gateways:
            network = None
            if options.network:
                network = Network(Path(tempfile.mkdtemp(dir=folder)))
            elsewhere = Elsewhere(options.server, given, options.seed, network)
            given = [*given, *await elsewhere.start(max(2, options.workers))]
        server: Killed | Gateways
        if options.gateways and elsewhere:
            command = [str(options.server), *given]
            count, seed = options.gateways, options.seed
            server = Gateways(command, elsewhere.nats, count, seed, elsewhere.network)
        else:
            server = Killed(options.server, given, folder)
        try:
            await server.start()
            while killed < options.kills:
                kills = min(KILLS_PER_ROUND, options.kills - killed)
                seed = options.seed + killed
                losses = await run_round(server, elsewhere, kills, seed, options)
                killed += kills
                images += sum(len(loss.images) for loss in losses)
                answers += sum(len(loss.answers) for loss in losses)
                failed += sum(len(loss.failed) for loss in losses)
                for loss in losses:
                    for failure in loss.failed:
                        print(f"an error in place of a result: {failure}", file=sys.stderr)
                repeated += sum(loss.repeated for loss in losses)
                finals += sum(loss.has_final for loss in losses)
                print(
                    f"{killed} kills: {images} acknowledged images and {answers} answers lost, "
                    f"{failed} errors in place of results, {repeated} answers came twice, "
                    f"{finals} final results",
                    flush=True,
                )
        finally:
            await asyncio.to_thread(server.kill)
            if elsewhere:
                await elsewhere.close()
    return images == 0 and answers == 0 and failed == 0


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(prog="python -m integration.kills", description=__doc__)
    parser.add_argument("--server", type=Path, default=ROOT / "target/release/pointstream")
    parser.add_argument("--model", type=Path, required=True, help="archive of a quick model")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=0, help="in other processes, at least 2")
    parser.add_argument("--gateways", type=int, default=0, help="that share sessions, at least 2")
    parser.add_argument(
        "--network",
        action="store_true",
        help="with --gateways: each process in a network namespace, links between them are cut, and"
        " with libfaketime clocks jump",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="print each fault")
    parser.add_argument("options", nargs="*", help="options of the server, after --")
    options = parser.parse_args()
    if options.network:
        enter()
    if not asyncio.run(run(options)):
        sys.exit("error: something that was promised is lost")


if __name__ == "__main__":
    main()
