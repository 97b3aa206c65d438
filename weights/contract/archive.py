"""Reading and writing model archives: TorchScript zip files with the contract's metadata.

Archives are reproducible: the same scripted sources give the same bytes on any machine. So the
debug information (which holds the paths of source files) and the serialization id (a hash over it)
are dropped, and every entry is stored without compression, with a fixed time, its data aligned so
that it can be mapped into memory.

TorchScript numbers a class name that is scripted twice in one process: build in a fresh process.

Weights may be gigabytes: entries are copied and read in pieces, never held in memory as a whole.
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
PIECE = 1 << 20
"""Bytes that are read at a time."""
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
    """The metadata of an archive, whose content must agree with the digest.

    Raises:
        ContractError: if the file is no archive, has no valid metadata, or was changed.
        OSError: if the file cannot be read.
    """
    with _open(path) as archive:
        entries = _entries(archive)
        if METADATA_ENTRY not in entries:
            raise ContractError(f"{path} has no {METADATA_ENTRY}: it is not a pointstream model")
        metadata = Metadata.from_json(_bytes_of(entries[METADATA_ENTRY]))
        found = _digest(entries)
    if metadata.digest != found:
        raise ContractError(f"{path} has the digest {found}, but states {metadata.digest}")
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
    """The digest of an archive's content, computed, not the one that its metadata states."""
    with _open(path) as archive:
        return _digest(_entries(archive))


def read_entries(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Every entry of a small archive by its name without the top folder."""
    with _open(path) as archive:
        return {name: _bytes_of(entry) for name, entry in _entries(archive).items()}


def write_entries(path: str | os.PathLike[str], entries: Mapping[str, bytes]) -> None:
    """Write entries below the top folder, in a way that depends on nothing but them."""
    _write(Path(path), {name: _of_bytes(data) for name, data in entries.items()})


class _Entry:
    """What an archive has, or is to have, under a name."""

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
    """By their names without the top folder; they can be read while the archive is open."""
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
                        shutil.copyfileobj(content, target, PIECE)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _padding(offset: int) -> bytes:
    """An extra field after which an entry's data is aligned; `offset`: header and name's start."""
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
                while piece := content.read(PIECE):
                    digest.update(piece)
    return f"sha256:{digest.hexdigest()}"
