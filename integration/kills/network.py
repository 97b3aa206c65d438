"""Machines of their own on this machine: network namespaces between which links can be cut, and
clocks that can jump.

All of it is inside user, network and mount namespaces of the test, and ends with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INSIDE = "POINTSTREAM_KILLS_INSIDE"
BRIDGE = "10.99.0.1"
"""The address of the clients."""
CLOCK = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


def enter() -> None:
    """Begin again inside namespaces, unless this is inside already."""
    if os.environ.get(INSIDE):
        return
    namespaces = ["--user", "--map-root-user", "--net", "--mount"]
    command = ["unshare", *namespaces, sys.executable, "-m", "integration.kills", *sys.argv[1:]]
    os.execvpe("unshare", command, {**os.environ, INSIDE: "yes"})


def run(*words: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(words, check=True)


class Machine:
    """A network namespace with an address, and a clock of its own."""

    def __init__(self, network: Network, number: int) -> None:
        self.network, self.name = network, f"m{number}"
        self.address = f"10.99.0.{number + 10}"
        outside = f"v{number}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", outside, "type", "veth", "peer", "eth0", "netns", self.name)
        run("ip", "link", "set", outside, "master", "br0", "up")
        run("ip", "-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            run("ip", "-n", self.name, "link", "set", device, "up")
        self.clock = network.folder / self.name
        self.clock.write_text("+0")

    def command(self, command: list[str]) -> list[str]:
        """The command on this machine."""
        clock = []
        if CLOCK is not None:
            clock = ["env", f"LD_PRELOAD={CLOCK}", f"FAKETIME_TIMESTAMP_FILE={self.clock}"]
            clock += ["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
        return ["ip", "netns", "exec", self.name, *clock, *command]

    def cut(self, other: Machine) -> None:
        """Nothing passes between this machine and another one."""
        run("ip", "-n", self.name, "route", "add", "blackhole", other.address)

    def join(self, other: Machine) -> None:
        """All passes again."""
        run("ip", "-n", self.name, "route", "del", "blackhole", other.address)

    def set_clock(self, seconds: int) -> None:
        """The time of day is so much later than it is."""
        self.clock.write_text(f"{seconds:+d}")


class Network:
    """Machines behind one bridge."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machines: list[Machine] = []
        # Names of namespaces are files there.
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "addr", "add", f"{BRIDGE}/24", "dev", "br0")
        for device in ("br0", "lo"):
            run("ip", "link", "set", device, "up")

    def machine(self) -> Machine:
        """One more."""
        self.machines.append(Machine(self, len(self.machines)))
        return self.machines[-1]
