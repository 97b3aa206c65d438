"""A NATS server for tests and measurements."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[1] / ".venv/bin/nats-server"
START_TIMEOUT = 60.0


class Nats:
    """A NATS server with JetStream on a free port, and a port for its figures."""

    def __init__(
        self, host: str = "127.0.0.1", around: Callable[[list[str]], list[str]] = list
    ) -> None:
        """`around` makes a command of another one, which it runs elsewhere."""
        self.host, self.around = host, around
        self.folder = tempfile.TemporaryDirectory(prefix="pointstream-nats-")
        self.port = self.monitor_port = -1
        self.start()

    def start(self) -> None:
        """Start it; after a kill with the same ports, and what it has stored."""
        config = Path(self.folder.name) / "nats.conf"
        # As in deploy/nats.conf: what is confirmed is on the disk.
        config.write_text(
            f'jetstream {{ store_dir: "{self.folder.name}", sync_interval: always }}\n'
        )
        command = [str(PROGRAM), "--config", str(config), "-a", self.host, "-p", str(self.port)]
        command += ["-m", str(self.monitor_port), "--ports_file_dir", self.folder.name]
        silent = subprocess.DEVNULL
        self.process = subprocess.Popen(self.around(command), stdout=silent, stderr=silent)
        ports = self._ports(Path(self.folder.name) / f"nats-server_{self.process.pid}.ports")
        self.url = ports["nats"][0]
        self.port = int(self.url.rsplit(":", 1)[1])
        self.monitor = ports["monitoring"][0]
        self.monitor_port = int(self.monitor.rsplit(":", 1)[1])

    def _ports(self, file: Path) -> dict[str, list[str]]:
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end:
            try:
                ports: dict[str, list[str]] = json.loads(file.read_text())
            except (OSError, ValueError):
                time.sleep(0.02)
            else:
                return ports
        raise TimeoutError(
            "the NATS server does not start; run scripts/setup.sh --with-python-tools"
        )

    def bytes(self) -> tuple[int, int]:
        """Bytes that have come in and gone out."""
        with urllib.request.urlopen(f"{self.monitor}/varz", timeout=10) as response:
            figures = json.load(response)
        return figures["in_bytes"], figures["out_bytes"]

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End the process and remove its files."""
        self.process.terminate()
        self.process.wait(timeout=60)
        self.folder.cleanup()
