"""Workers in other processes that are killed, stopped and cut off, and the NATS server between."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from integration.nats import Nats

from . import disk
from .network import Machine, Network

LONGEST_STOP = 14.0
"""Of a worker or a connection. Jobs are delivered again after 10 s."""
GRACE = 45.0
"""Of a worker that is asked to end. It gives its jobs 30 s."""
LONGEST_ABSENCE = 3.0
"""Of NATS."""
LONGEST_JUMP = 1800
"""Of a clock, in seconds."""
PART = 1 << 16


class Relay:
    """A connection to NATS that can be cut: what is sent then arrives later, or never."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.open = asyncio.Event()
        self.open.set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listen, and return the address."""
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return f"nats://127.0.0.1:{self.port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.open.wait()
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(self._forward(source, sink))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while part := await source.read(PART):
                await self.open.wait()
                sink.write(part)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    async def cut(self, seconds: float) -> None:
        """Nothing passes for so long."""
        self.open.clear()
        await asyncio.sleep(seconds)
        self.open.set()

    def close(self) -> None:
        """Accept nothing more, and end what passes."""
        self.server.close()
        for task in self.tasks:
            task.cancel()


class Worker:
    """A worker process with a connection of its own."""

    def __init__(self, command: list[str], relay: Relay | None, machine: Machine | None) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="pointstream-worker-")
        command = [*command, "--worker-dir", self.folder.name]
        self.machine = machine
        if machine:
            command = machine.command(command)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.relay = relay

    def end(self, how: signal.Signals) -> None:
        """Send a signal that ends it, and wait; a supervisor kills one that does not end."""
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.relay:
            self.relay.close()
        self.folder.cleanup()


class Elsewhere:
    """NATS, a server's connection to it, and workers."""

    def __init__(
        self, binary: Path, options: list[str], seed: int, network: Network | None
    ) -> None:
        self.network = network
        machine = network.machine() if network else None
        self.nats = Nats(machine.address, machine.command) if machine else Nats()
        self.command = [str(binary), "worker", "--log-level", "ERROR", *options]
        self.chance = random.Random(seed)
        self.workers: list[Worker] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.cuts: list[set[str]] = []
        """Machines between which nothing passes."""

    async def start(self, workers: int) -> list[str]:
        """Start the workers, and return the options of the server."""
        self.relay = Relay(self.nats.port)
        address = await self.relay.start()
        for _ in range(workers):
            await self._add_worker(self.network.machine() if self.network else None)
        return ["--nats", address, "--workers-local", "0"]

    async def _add_worker(self, machine: Machine | None) -> None:
        relay = None if machine else Relay(self.nats.port)
        address = await relay.start() if relay else self.nats.url
        self.workers.append(Worker([*self.command, "--nats", address], relay, machine))

    async def fault(self) -> str:
        """Something fails; returns what. One worker always stays as it is."""
        worker = self.chance.choice(self.workers[1:])
        stopped = self.chance.uniform(0.5, LONGEST_STOP)
        kinds = ["killed", "ended", "stopped", "NATS killed", "NATS stopped"]
        kinds += (
            ["link cut", "link cut", "clock"] if self.network else ["cut off", "server cut off"]
        )
        kinds += ["NATS disk slow"] if disk.can_be_slow() else []
        kind = self.chance.choice(kinds)
        if kind in {"killed", "ended"}:
            self.workers.remove(worker)
            how = signal.SIGKILL if kind == "killed" else signal.SIGTERM
            await asyncio.to_thread(worker.end, how)
            await self._add_worker(worker.machine)
        elif kind == "stopped":
            self._later(self._stop(worker, stopped))
        elif kind == "cut off" and worker.relay:
            self._later(worker.relay.cut(stopped))
        elif kind == "link cut" and self.network:
            one, other = self.chance.sample(self.network.machines, 2)
            if {one.name, other.name} not in self.cuts:
                self._later(self._cut(one, other, stopped))
        elif kind == "clock" and self.network:
            machine = self.chance.choice(self.network.machines)
            machine.set_clock(self.chance.randint(-LONGEST_JUMP, LONGEST_JUMP))
        elif kind == "NATS disk slow":
            self._later(disk.slow(self.nats.process.pid, stopped))
        elif kind == "NATS stopped":
            os.kill(self.nats.process.pid, signal.SIGSTOP)
            await asyncio.sleep(self.chance.uniform(0.0, LONGEST_ABSENCE))
            os.kill(self.nats.process.pid, signal.SIGCONT)
        elif kind == "server cut off":
            await self.relay.cut(self.chance.uniform(0.1, LONGEST_ABSENCE))
        else:
            self.nats.kill()
            await asyncio.sleep(self.chance.uniform(0.0, LONGEST_ABSENCE))
            await asyncio.to_thread(self.nats.start)
        return kind

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _stop(self, worker: Worker, seconds: float) -> None:
        process = worker.process
        if process.poll() is not None:
            return
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)

    async def _cut(self, one: Machine, other: Machine, seconds: float) -> None:
        self.cuts.append({one.name, other.name})
        one.cut(other)
        await asyncio.sleep(seconds)
        one.join(other)
        self.cuts.remove({one.name, other.name})

    async def settle(self) -> None:
        """Wait until nothing is stopped or cut off."""
        while self.tasks:
            await asyncio.gather(*self.tasks)

    async def close(self) -> None:
        """End all processes."""
        await self.settle()
        for worker in self.workers:
            await asyncio.to_thread(worker.end, signal.SIGKILL)
        self.relay.close()
        self.nats.close()
