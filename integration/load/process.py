"""Client processes that are told what to do."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
from multiprocessing.connection import Connection
from typing import Any

from .sockets import Process


def serve(pipe: Connection, base: str, picture: bytes) -> None:
    """Do what comes through the pipe: the name of a method of `Process`, and its arguments."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(pipe, base, picture))


async def _serve(pipe: Connection, base: str, picture: bytes) -> None:
    process = Process(base, picture)
    while True:
        # On a thread: sockets must go on meanwhile.
        name, arguments = await asyncio.to_thread(pipe.recv)
        if name == "end":
            return
        try:
            pipe.send((True, await getattr(process, name)(*arguments)))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))


class Crew:
    """The client processes."""

    def __init__(self, count: int, base: str, picture: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self.processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, base, picture), daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)

    def all(self, name: str, *arguments: Any) -> list[Any]:
        """Let all do the same; return what each found."""
        return self.each(name, [arguments] * len(self.pipes))

    def each(self, name: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
        """Let each do its part; return what each found."""
        for pipe, part in zip(self.pipes, arguments, strict=True):
            pipe.send((name, part))
        found = []
        for pipe in self.pipes:
            fine, answer = pipe.recv()
            if not fine:
                raise RuntimeError(f"{name}: {answer}")
            found.append(answer)
        return found

    def end(self) -> None:
        """Let all processes end."""
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(("end", ()))
            process.join(10)
            process.kill()
