"""Digests of files, in the form used by the metadata."""

import hashlib
from pathlib import Path

BLOCK_BYTES = 1 << 20


def file_digest(path: Path) -> str:
    """`sha256:` and the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"
