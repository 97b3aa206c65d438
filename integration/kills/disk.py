"""Disks that are slow for a while: each of a process's calls that writes to one takes longer.

`strace` delays the calls. Those that send over the network are not delayed.
"""

from __future__ import annotations

import asyncio
import shutil

CALLS = "fsync,fdatasync,pwrite64,ftruncate,rename,renameat,renameat2,unlink,unlinkat"
DELAY = 0.2
"""Of each call, in seconds. A good disk takes a hundredth of it to sync."""
GRACE = 10.0


def can_be_slow() -> bool:
    """Whether the machine has what it takes."""
    return shutil.which("strace") is not None


async def slow(process: int, seconds: float) -> None:
    """The disk of a process is slow for so long."""
    delay = f"--inject={CALLS}:delay_enter={int(DELAY * 1e6)}"
    command = ["strace", "-f", "-qqq", "-o", "/dev/null", f"--trace={CALLS}", delay]
    # It ends with the process that it follows.
    tracer = await asyncio.create_subprocess_exec(*command, "-p", str(process))
    try:
        await asyncio.wait_for(tracer.wait(), seconds)
    except TimeoutError:
        tracer.terminate()
        await asyncio.wait_for(tracer.wait(), GRACE)
