"""Starts the real program, and relays whose connections break on demand."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from pointstream import Image

REPOSITORY = Path(__file__).parents[3]
# Seconds for the start of a development build on a busy machine.
PATIENCE = 60


def _found(variable: str, default: Path, make: str) -> Path:
    """A file of the build. One that is named must be there; without any the test is skipped."""
    given = os.environ.get(variable)
    path = Path(given) if given else default
    if given == "" or (given is None and not path.exists()):
        pytest.skip(f"{default} is not there: {make}, or set {variable}")
    assert path.exists(), f"{variable} names {path}, which is not there"
    return path


def _program() -> Path:
    default = REPOSITORY / "target/debug/pointstream"
    return _found("POINTSTREAM_TEST_BINARY", default, "run `cargo build`")


def _environment() -> dict[str, str]:
    """Without what the developer has set for servers."""
    return {key: value for key, value in os.environ.items() if not key.startswith("POINTSTREAM_")}


def run_program(*arguments: str) -> str:
    """Run a command of the program; return what it prints."""
    command = [str(_program()), *arguments]
    done = subprocess.run(
        command, env=_environment(), check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.stdout.strip()


class Server:
    """The program with a data directory of its own, and the model of a test archive."""

    def __init__(self, model: str, *options: str, port: int = 0, data: Path | None = None) -> None:
        program = _program()
        archives = _found(
            "POINTSTREAM_TEST_ARCHIVES",
            REPOSITORY / "target/tmp/archives",
            "run `python -m weights.tests.archives target/tmp/archives`",
        )
        self._folder = tempfile.TemporaryDirectory(prefix="pointstream-client-")
        self.data = data or Path(self._folder.name) / "data"
        environment = _environment()
        environment["POINTSTREAM_MODEL_STORE"] = str(Path(self._folder.name) / "models")
        self._log = Path(self._folder.name) / "log"
        self._arguments = ["--model", str(archives / f"{model}.pt"), "--device", "cpu"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(str(program), *self._arguments, "--host", "127.0.0.1"),
                    *("--port", str(port), "--data-dir", str(self.data), *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )
        try:
            self.url = self._address()
        except BaseException:
            self.stop()
            raise

    def _address(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("listening on "):
                return line.removeprefix("listening on ").strip()
        raise AssertionError(f"the server did not start:\n{self._log.read_text()}")

    def kill(self) -> None:
        """End the process as a power failure would; the data stay."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        """End the process, and remove its data."""
        self._process.kill()
        self._process.wait(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()


class Relay:
    """Passes connections on to a server. They can be cut, as by a network that goes away.

    With `keep_acks` it cuts them itself whenever so many acknowledgements have passed: the next
    one never arrives, so that the client has to notice.
    """

    def __init__(self, url: str, keep_acks: int | None = None) -> None:
        self._port = int(url.rpartition(":")[2])
        self._writers: set[asyncio.StreamWriter] = set()
        self._keep_acks = keep_acks
        self._acks = 0
        self.cuts = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections, without a farewell."""
        self.cuts += 1
        for writer in self._writers:
            writer.transport.abort()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(_pass(reader, back), _pass(there, writer, self._losing))
        finally:
            self._writers -= {writer, back}

    def _losing(self, data: bytes) -> bool:
        """Whether the connections were cut instead of passing these bytes on."""
        if self._keep_acks is None:
            return False
        self._acks += data.count(b'"ack"')
        if self._acks <= self._keep_acks:
            return False
        self._acks = 0
        self.cut()
        return True


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    losing: Callable[[bytes], bool] = lambda _: False,
) -> None:
    try:
        while data := await reader.read(65536):
            if losing(data):
                return
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def photo(level: int) -> bytes:
    """A PNG that the test models place `level` tenths to the right."""
    rows, columns = np.indices((42, 56))
    detail = 20 * ((rows + columns) % 2)
    channels = [np.full_like(detail, level), 60 + detail, 40 + detail]
    file = BytesIO()
    Picture.fromarray(np.stack(channels, axis=2).astype(np.uint8)).save(file, "png")
    return file.getvalue()


def pictures(count: int) -> list[Image]:
    """Photos from left to right."""
    return [Image(photo(level), f"{level}.png") for level in range(count)]


def names(images: list[dict[str, Any]]) -> list[str]:
    """The names of images that the server lists."""
    return [image["image_path"] for image in images]
