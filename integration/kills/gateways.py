"""Servers that share their sessions, and are killed, ended, stopped and cut off."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import subprocess
import tempfile
from typing import TYPE_CHECKING

from . import disk
from .elsewhere import Relay

if TYPE_CHECKING:
    from integration.nats import Nats

    from .client import StreamingClient
    from .network import Machine, Network

START_TIMEOUT = 120.0
LONGEST_STOP = 14.0
"""Of a server or its connection. Its sessions are taken over after 10 s."""
GRACE = 60.0
"""Of a server that is asked to end."""


class Gateway:
    """A server on a fixed port, with a connection of its own to NATS."""

    def __init__(self, command: list[str], nats: Nats, machine: Machine | None) -> None:
        """`machine`: its own, if all have one."""
        self.port = free_port()
        self.host = machine.address if machine else "127.0.0.1"
        self.base = f"http://{self.host}:{self.port}"
        self.command, self.nats, self.relay = command, nats, Relay(nats.port)
        self.machine = machine
        self.process: subprocess.Popen[str] | None = None
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    async def start(self) -> None:
        """Start it with an empty data directory, as on another machine."""
        if self.machine:
            address = self.nats.url
        elif self.relay.port:
            address = f"nats://127.0.0.1:{self.relay.port}"
        else:
            address = await self.relay.start()
        self.folder = tempfile.TemporaryDirectory(prefix="pointstream-kills-")
        own = ["--port", str(self.port), "--data-dir", self.folder.name, "--nats", address]
        own += ["--gateway-url", self.base, "--workers-local", "0"]
        own += ["--host", self.host, *(["--insecure"] if self.machine else [])]
        command = [*self.command, *own, "--log-level", "ERROR", "--log-format", "json"]
        if self.machine:
            command = self.machine.command(command)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        reading = asyncio.to_thread(self.process.stdout.readline)
        if not (await asyncio.wait_for(reading, START_TIMEOUT)).startswith("listening on "):
            raise RuntimeError("a server did not start")

    def end(self, how: signal.Signals) -> None:
        """Send a signal that ends it, and wait; a supervisor kills one that does not end."""
        if self.process is None or self.folder is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.folder.cleanup()


class Gateways:
    """Servers that share their sessions."""

    def __init__(
        self, command: list[str], nats: Nats, count: int, seed: int, network: Network | None
    ) -> None:
        # Where NATS is, and how many workers they have of their own, they say themselves.
        kept = [
            option
            for index, option in enumerate(command)
            if not {"--nats", "--workers-local"} & {option, command[index - 1]}
        ]
        machines = [network.machine() if network else None for _ in range(count)]
        self.gateways = [Gateway(kept, nats, machine) for machine in machines]
        self.chance = random.Random(seed)
        self.tasks: set[asyncio.Task[None]] = set()
        self.troubled: set[int] = set()

    @property
    def bases(self) -> list[str]:
        """The addresses for clients."""
        return [gateway.base for gateway in self.gateways]

    async def start(self) -> None:
        """Start all."""
        await asyncio.gather(*(gateway.start() for gateway in self.gateways))

    async def fault(self) -> str:
        """Something fails at a server where nothing does; returns what. All may fail at once."""
        while not (well := [*{*range(len(self.gateways))} - self.troubled]):
            await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        number = self.chance.choice(well)
        kinds = ["killed", "ended", "stopped"]
        # Links between machines are cut by themselves.
        kinds += [] if self.gateways[0].machine else ["cut off"]
        kinds += ["disk slow"] if disk.can_be_slow() else []
        kind = self.chance.choice(kinds)
        seconds = self.chance.uniform(0.5, LONGEST_STOP)
        self.troubled.add(number)
        task = asyncio.create_task(self._trouble(number, kind, seconds))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return f"server {number} {kind}"

    async def _trouble(self, number: int, kind: str, seconds: float) -> None:
        gateway = self.gateways[number]
        try:
            if kind in {"killed", "ended"}:
                how = signal.SIGKILL if kind == "killed" else signal.SIGTERM
                await asyncio.to_thread(gateway.end, how)
                await asyncio.sleep(seconds / 2)
                await gateway.start()
            elif kind == "stopped" and gateway.process is not None:
                gateway.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(seconds)
                gateway.process.send_signal(signal.SIGCONT)
            elif kind == "disk slow" and gateway.process is not None:
                await disk.slow(gateway.process.pid, seconds)
            else:
                await gateway.relay.cut(seconds)
        finally:
            self.troubled.discard(number)

    async def settle(self) -> None:
        """Wait until nothing is stopped or cut off."""
        while self.tasks:
            await asyncio.gather(*self.tasks)

    async def files_of(self, clients: list[StreamingClient]) -> list[set[str]]:
        """Digests of the images of the clients' sessions."""
        return [await asyncio.to_thread(client.files) for client in clients]

    def kill(self) -> None:
        """End all processes."""
        for gateway in self.gateways:
            gateway.end(signal.SIGKILL)
            if gateway.relay.port:
                gateway.relay.close()


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
