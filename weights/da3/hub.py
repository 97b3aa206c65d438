"""Download official checkpoints: resumes, verifies, and reuses what is already there.

Respects the hub's environment variables: `HF_ENDPOINT` (a mirror), `HF_TOKEN`, `HTTPS_PROXY`,
`HF_HUB_OFFLINE`, `HF_HOME` and `HF_HUB_CACHE` (checkpoints are read from the cache, not added to
it).
"""

import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import HfFileMetadata, http_get
from huggingface_hub.utils import build_hf_headers

from weights.da3 import reach
from weights.da3.digest import file_digest
from weights.da3.reach import ADVICE, GATEWAYS, DownloadError, OutOfReach

ATTEMPTS = 3
"""Attempts of a download that progresses but breaks off, each with the library's own retries."""
REPORT_INTERVAL = 0.5
"""Seconds between reports of progress."""
COMMIT = re.compile("[0-9a-f]{40}")
SHA256 = re.compile("[0-9a-f]{64}")

Report = Callable[[str, int, int], None]
"""Progress callback: file name, bytes done, bytes in total."""


@dataclass(frozen=True)
class Located:
    """Files of one commit with the hub's metadata."""

    repository: str
    commit: str
    files: dict[str, HfFileMetadata]
    """Metadata by file name; empty when offline."""


def locate(repository: str, revision: str, names: list[str]) -> Located:
    """Look up files on the hub without downloading them; when offline, in the hub's cache.

    Raises:
        OutOfReach: if the hub cannot be reached or does not respond in time.
        DownloadError: if the hub does not provide the files.
    """
    if constants.HF_HUB_OFFLINE:
        return Located(repository, _cached(repository, revision, names).name, {})
    hub = constants.ENDPOINT
    return reach.within(reach.DEADLINE, hub, lambda: _ask(repository, revision, names))


def _ask(repository: str, revision: str, names: list[str]) -> Located:
    first = _metadata(repository, names[0], revision)
    commit = first.commit_hash
    if commit is None or not COMMIT.fullmatch(commit):
        raise DownloadError(
            f"{constants.ENDPOINT} does not answer like the hub: its response has no commit"
        )
    rest = {name: _metadata(repository, name, commit) for name in names[1:]}
    return Located(repository, commit, {names[0]: first, **rest})


def download(located: Located, names: list[str], folder: Path, report: Report) -> Path:
    """Download located files; return their folder.

    An interrupted download leaves a file ending in `.incomplete`, which the next call resumes.
    Removes files of other commits from `folder`.

    Raises:
        OutOfReach: if the hub no longer responds.
        DownloadError: if a file is unavailable or differs from the hub's metadata.
        OSError: if a file cannot be written.
    """
    repository, commit = located.repository, located.commit
    if not located.files:
        return _cached(repository, commit, names)
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
        elif entry.name != commit:
            shutil.rmtree(entry)
    found = _verified_in_cache(located, names)
    if found is not None:
        return found
    for name in names:
        _fetch(repository, commit, name, located.files[name], folder / commit, report)
    return folder / commit


def _verified_in_cache(located: Located, names: list[str]) -> Path | None:
    """The folder of the files in the hub's cache, if they match the hub's metadata."""
    repository, commit = located.repository, located.commit
    paths = [try_to_load_from_cache(repository, name, revision=commit) for name in names]
    if not all(isinstance(path, str) for path in paths):
        return None
    try:
        for name, path in zip(names, paths, strict=True):
            _verify(Path(str(path)), located.files[name])
    except (DownloadError, OSError):
        # Leave the cache alone: repairing it is up to the hub's library.
        return None
    return Path(str(paths[0])).parent


def _cached(repository: str, revision: str, names: list[str]) -> Path:
    """The folder of the files in the hub's cache, where large ones are named by their SHA-256."""
    for name in names:
        path = try_to_load_from_cache(repository, name, revision=revision)
        if not isinstance(path, str):
            raise OutOfReach(
                f"{name} of {repository} is not in the hub's cache {constants.HF_HUB_CACHE}, and "
                "HF_HUB_OFFLINE is set, so the hub is not asked"
            )
        expected = Path(path).resolve().name
        if SHA256.fullmatch(expected) and file_digest(Path(path)) != f"sha256:{expected}":
            raise DownloadError(f"{path} is damaged: its SHA-256 is not {expected}")
    return Path(path).parent


def _metadata(repository: str, name: str, revision: str) -> HfFileMetadata:
    """Request the hub's metadata of a file."""
    url = hf_hub_url(repository, name, revision=revision)
    try:
        return get_hf_file_metadata(url, timeout=reach.TIMEOUT)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise _failure(error, repository, name, revision) from error


def _fetch(
    repository: str, commit: str, name: str, metadata: HfFileMetadata, folder: Path, report: Report
) -> None:
    """Download one file; resume a partial download."""
    target = folder / name
    partial = folder / f"{name}.incomplete"
    if metadata.size is None:
        raise DownloadError(f"{constants.ENDPOINT} does not say how large {name} is")
    folder.mkdir(parents=True, exist_ok=True)
    if not target.is_file():
        done = partial.stat().st_size if partial.exists() else 0
        if done > metadata.size:
            partial.unlink()
            done = 0
        free = shutil.disk_usage(folder).free
        # Twice the size, because the archive needs as much again.
        needed = 2 * metadata.size - done
        if free < needed:
            raise DownloadError(
                f"{folder} has {free / 1e6:.0f} MB free, but {name} and the archive made from it "
                f"need {needed / 1e6:.0f} MB"
            )
        url = hf_hub_url(repository, name, revision=commit)
        for attempt in range(ATTEMPTS):
            before = partial.stat().st_size if partial.exists() else 0
            try:
                _transfer(url, partial, metadata.size, name, report)
                break
            except (HfHubHTTPError, httpx2.HTTPError, _TruncatedError) as error:
                interrupted = isinstance(error, (httpx2.TransportError, _TruncatedError))
                # Retry only after progress: the library has already retried by itself.
                again = interrupted and partial.stat().st_size > before
                if attempt + 1 == ATTEMPTS or not again:
                    raise _failure(error, repository, name, commit) from error
        os.replace(partial, target)
    try:
        _verify(target, metadata)
    except DownloadError:
        target.unlink()
        raise


class _TruncatedError(Exception):
    """A response without a length that ended early."""


def _transfer(url: str, partial: Path, size: int, name: str, report: Report) -> None:
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with partial.open("ab") as file:
        try:
            http_get(
                url,
                file,
                resume_size=file.tell(),
                headers=headers,
                expected_size=size,
                displayed_filename=name,
                tqdm_class=_progress(name, size, report),
            )
        except HfHubHTTPError:
            raise
        except OSError as error:
            # The library's own OSErrors have no errno, those of the system do.
            if error.errno is not None:
                raise
            done = file.tell()
            raise _TruncatedError(f"{name} broke off after {done} of {size} bytes") from error
        except ValueError as error:
            raise DownloadError(f"{name} cannot be downloaded: {error}") from error


def _progress(name: str, size: int, report: Report) -> type:
    """A class that replaces the library's progress bar and calls `report`."""

    class Progress:
        def __init__(self, initial: int = 0, **_: Any) -> None:
            self.done = initial
            self.reported_at = 0.0

        def __enter__(self) -> "Progress":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int) -> None:
            self.done += count
            if self.done > size:
                raise DownloadError(f"the hub sends more than the {size} bytes of {name}")
            if self.done == size or time.monotonic() - self.reported_at > REPORT_INTERVAL:
                self.reported_at = time.monotonic()
                report(name, self.done, size)

    return Progress


def _verify(path: Path, metadata: HfFileMetadata) -> None:
    """Compare a file with its length, and with its SHA-256 if the hub provides it."""
    size = path.stat().st_size
    if metadata.size is not None and size != metadata.size:
        raise DownloadError(f"{path} has {size} bytes, but the hub says {metadata.size}")
    if metadata.etag and SHA256.fullmatch(metadata.etag):
        expected, found = f"sha256:{metadata.etag}", file_digest(path)
        if found != expected:
            raise DownloadError(
                f"{path.name} came damaged, as {found}, but the hub says {expected}; the next "
                "fetch downloads it again"
            )


def _failure(error: Exception, repository: str, name: str, revision: str) -> DownloadError:
    """Describe why the hub does not provide a file."""
    hub = constants.ENDPOINT
    if isinstance(error, GatedRepoError):
        return DownloadError(
            f"{repository} is gated: request access, and set HF_TOKEN to the token of the account"
        )
    if isinstance(error, RepositoryNotFoundError):
        return DownloadError(f"{hub} has no {repository}, or it is private and needs HF_TOKEN")
    if isinstance(error, RevisionNotFoundError):
        return DownloadError(f"{repository} has no revision {revision}")
    if isinstance(error, RemoteEntryNotFoundError):
        return DownloadError(f"{repository} has no {name} at {revision}")
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        kind = OutOfReach if status in GATEWAYS else DownloadError
        return kind(f"{hub} answers {status} for {name} of {repository}")
    if isinstance(error, httpx2.ProxyError):
        return OutOfReach(f"the proxy does not connect to {hub} ({error}); see HTTPS_PROXY")
    if isinstance(error, httpx2.TimeoutException):
        return OutOfReach(f"{hub} does not answer; {ADVICE}")
    detail = str(error).strip() or type(error).__name__
    return OutOfReach(f"{hub} cannot be reached ({detail}); {ADVICE}")
