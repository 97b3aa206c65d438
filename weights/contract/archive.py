"""Reading and writing model archives: TorchScript zip files with the contract's metadata.

Archives are reproducible: the same scripted sources give the same bytes on any machine. Therefore
the debug information (it contains source paths) and the serialization id (a hash over it) are
dropped. Every entry is stored uncompressed with a fixed time, and its data is aligned for mapping
into memory.

Build in a fresh process: TorchScript appends a number to a class name that is scripted twice.

Weights may take gigabytes, so entries are copied in chunks and never held in memory as a whole.
"""

import dataclasses
import functools
import hashlib
import io
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import torch

from weights.contract.metadata import METADATA_ENTRY, ContractError, Metadata

TOP_FOLDER = "model"
ALIGNMENT = 64
CHUNK = 1 << 20
"""Bytes to read at a time."""
LOCAL_HEADER_LENGTH = 30
"""Bytes of a zip file's local header before the name (APPNOTE.TXT, section 4.3.7)."""
PADDING_FIELD = 0x4246
"""Id of the zip extra field that holds padding; libtorch writes the same one ("FB")."""


def save_archive(
    module: torch.jit.ScriptModule, metadata: Metadata, path: str | os.PathLike[str]
) -> Metadata:
    """Write a scripted module with its metadata and return the metadata with the digest."""
    path = Path(path)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".pt") as saved:
        torch.jit.save(module, saved.name)
        with zipfile.ZipFile(saved.name) as source:
            content = {name: entry for name, entry in _entries(source).items() if _is_content(name)}
            sealed = dataclasses.replace(metadata, digest=_digest(content))
            _write(path, {**content, METADATA_ENTRY: _of_bytes(sealed.to_json().encode())})
    return sealed


def read_metadata(path: str | os.PathLike[str]) -> Metadata:
    """Read the metadata of an archive and verify its digest.

    Raises:
        ContractError: if the file is not an archive, has no valid metadata, or was changed.
        OSError: if the file cannot be read.
    """
    with _open(path) as archive:
        entries = _entries(archive)
        if METADATA_ENTRY not in entries:
            raise ContractError(f"{path} has no {METADATA_ENTRY}: it is not a pointstream model")
        metadata = Metadata.from_json(_bytes_of(entries[METADATA_ENTRY]))
        found = _digest(entries)
    if metadata.digest != found:
        raise ContractError(
            f"{path} was changed: it has the digest {found}, its metadata say {metadata.digest}"
        )
    return metadata


def load_archive(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[torch.jit.ScriptModule, Metadata]:
    """Load an archive after checking its metadata and digest.

    Raises:
        ContractError: if it does not follow the contract.
        OSError: if the file cannot be read.
    """
    metadata = read_metadata(path)
    try:
        module = torch.jit.load(os.fspath(path), map_location=device)
    except (RuntimeError, torch.jit.Error) as error:
        raise ContractError(f"{path} is not a TorchScript archive: {error}") from error
    missing = [name for name in metadata.entry_points() if not hasattr(module, name)]
    if missing:
        raise ContractError(f"{path} has no entry point {', '.join(missing)}")
    return module.eval(), metadata


def archive_digest(path: str | os.PathLike[str]) -> str:
    """Compute the digest of an archive's content, whatever its metadata say."""
    with _open(path) as archive:
        return _digest(_entries(archive))


def read_entries(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Every entry of a small archive by its name without the top folder."""
    with _open(path) as archive:
        return {name: _bytes_of(entry) for name, entry in _entries(archive).items()}


def write_entries(path: str | os.PathLike[str], entries: Mapping[str, bytes]) -> None:
    """Write entries below the top folder, reproducibly."""
    _write(Path(path), {name: _of_bytes(data) for name, data in entries.items()})


class _Entry:
    """An entry of an archive that exists or is being written."""

    def __init__(self, size: int, open_content: Callable[[], IO[bytes]]) -> None:
        self.size = size
        self.open = open_content


def _of_bytes(data: bytes) -> _Entry:
    return _Entry(len(data), lambda: io.BytesIO(data))


def _bytes_of(entry: _Entry) -> bytes:
    with entry.open() as content:
        return content.read()


def _open(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ContractError(f"{path} is not a model archive: {error}") from error


def _entries(archive: zipfile.ZipFile) -> dict[str, _Entry]:
    """Entries by name without the top folder; readable while the archive is open."""
    return {
        info.filename.partition("/")[2]: _Entry(
            info.file_size, functools.partial(archive.open, info)
        )
        for info in archive.infolist()
    }


def _write(path: Path, entries: Mapping[str, _Entry]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".pt", delete=False) as file:
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, entry in sorted(entries.items()):
                    info = zipfile.ZipInfo(f"{TOP_FOLDER}/{name}", (1980, 1, 1, 0, 0, 0))
                    info.create_system = 0  # otherwise it depends on the operating system
                    info.file_size = entry.size
                    info.extra = _padding(file.tell() + len(info.filename.encode()))
                    with entry.open() as content, archive.open(info, "w") as target:
                        shutil.copyfileobj(content, target, CHUNK)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _padding(offset: int) -> bytes:
    """The zip extra field that aligns an entry's data.

    `offset` is the position of the local header plus the length of the entry's name.
    """
    length = -(offset + LOCAL_HEADER_LENGTH + 4) % ALIGNMENT
    return struct.pack("<HH", PADDING_FIELD, length) + b"\0" * length


def _is_content(name: str) -> bool:
    """Whether the digest covers an entry."""
    return not (
        name.startswith("extra/") or name.endswith(".debug_pkl") or name == ".data/serialization_id"
    )


def _digest(entries: Mapping[str, _Entry]) -> str:
    digest = hashlib.sha256()
    for name, entry in sorted(entries.items(), key=lambda item: item[0].encode()):
        if _is_content(name):
            digest.update(name.encode() + b"\0" + struct.pack("<Q", entry.size))
            with entry.open() as content:
                while chunk := content.read(CHUNK):
                    digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
