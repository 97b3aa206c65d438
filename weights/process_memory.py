"""The resident memory of this process (Linux), in bytes.

`resource.getrusage` cannot tell it: after `exec` its peak still includes the memory of the process
that started this one.
"""

from pathlib import Path


def resident() -> int:
    """Resident memory now."""
    return _status("VmRSS")


def reset_peak() -> None:
    """Let `peak` forget what was before."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Peak of the resident memory since the start or the last reset."""
    return _status("VmHWM")


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
