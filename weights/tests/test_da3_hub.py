"""Checkpoints are downloaded from the hub: resumed, verified, and not twice."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from weights.da3 import hub
from weights.da3.config import CONFIGS
from weights.da3.registry import known_models
from weights.tests.hub_server import COMMIT, HubServer

REPOSITORY = "depth-anything/DA3-SMALL"
NAMES = ["config.json", "model.safetensors"]
SIZE = 1_000_000
CACHE = "models--depth-anything--DA3-SMALL"


def set_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What `HF_ENDPOINT` does when the library is imported."""
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of this machine, the only one that is known, and an empty cache."""
    files = tmp_path / "hub"
    files.mkdir()
    (files / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    (files / "model.safetensors").write_bytes(os.urandom(SIZE))
    server = HubServer(files)
    set_endpoint(monkeypatch, server.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    # As small steps as the server's, so that what is cut off is missed.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    monkeypatch.setattr("time.sleep", lambda _: None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def download(target: Path) -> tuple[Path, list[int]]:
    """Get the checkpoint; returns its folder and the progress of the large file."""
    reported: list[int] = []

    def report(name: str, done: int, total: int) -> None:
        if name == NAMES[1]:
            assert total == SIZE
            reported.append(done)

    located = hub.locate(REPOSITORY, "main", NAMES)
    return hub.download(located, NAMES, target, report), reported


def same_files(folder: Path, server: HubServer) -> bool:
    return all((folder / n).read_bytes() == (server.folder / n).read_bytes() for n in NAMES)


def cache(server: HubServer, tmp_path: Path, digest: str | None = None) -> Path:
    """Lay the files into the hub's cache as its library does; returns the large file."""
    root = tmp_path / "cache" / CACHE
    snapshot = root / "snapshots" / COMMIT
    for folder in (root / "blobs", root / "refs", snapshot):
        folder.mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    for name in NAMES:
        content = (server.folder / name).read_bytes()
        blob = root / "blobs" / (digest or hashlib.sha256(content).hexdigest())
        if name == NAMES[0]:
            blob = blob.with_name("0" * 40)
        blob.write_bytes(content)
        (snapshot / name).symlink_to(blob)
    return snapshot / NAMES[1]


def test_downloads_a_commit(server: HubServer, tmp_path: Path) -> None:
    stale = tmp_path / "target" / "another-commit"
    stale.mkdir(parents=True)
    folder, reported = download(tmp_path / "target")
    assert folder == tmp_path / "target" / COMMIT
    assert same_files(folder, server)
    assert not stale.exists()
    assert reported == sorted(reported)
    assert reported[-1] == SIZE


def test_a_server_that_breaks_off_is_asked_for_the_rest(server: HubServer, tmp_path: Path) -> None:
    server.cut = 300_000
    folder, _ = download(tmp_path / "target")
    assert same_files(folder, server)
    ranges = {wanted for _, path, wanted in server.requests if "elsewhere" in path}
    assert len(ranges) > 2


def test_a_later_download_goes_on_where_one_broke_off(server: HubServer, tmp_path: Path) -> None:
    server.cut = 0  # from now on no byte of the large file comes
    partial = tmp_path / "target" / COMMIT / "model.safetensors.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes((server.folder / NAMES[1]).read_bytes()[:400_000])
    with pytest.raises(hub.DownloadError, match=r"127\.0\.0\.1"):
        download(tmp_path / "target")
    assert partial.stat().st_size == 400_000
    server.cut = None
    server.requests.clear()
    folder, reported = download(tmp_path / "target")
    assert same_files(folder, server)
    assert reported[0] > 400_000
    assert ("GET", "/elsewhere/model.safetensors", "bytes=400000-") in server.requests


def test_a_file_of_another_content_is_refused_and_removed(
    server: HubServer, tmp_path: Path
) -> None:
    server.digest = "0" * 64
    with pytest.raises(hub.DownloadError, match="came damaged, as sha256:"):
        download(tmp_path / "target")
    assert not (tmp_path / "target" / COMMIT / NAMES[1]).exists()
    server.digest = None
    folder, _ = download(tmp_path / "target")
    assert same_files(folder, server)


def test_what_the_hubs_cache_has_is_not_downloaded(server: HubServer, tmp_path: Path) -> None:
    path = cache(server, tmp_path)
    folder, reported = download(tmp_path / "target")
    assert folder == path.parent
    assert reported == []
    assert all(method == "HEAD" for method, _, _ in server.requests)


def test_offline_takes_the_cache_and_asks_nobody(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(hub.DownloadError, match="HF_HUB_OFFLINE"):
        hub.locate(REPOSITORY, "main", NAMES)
    path = cache(server, tmp_path)
    located = hub.locate(REPOSITORY, "main", NAMES)
    assert located.commit == COMMIT
    assert hub.download(located, NAMES, tmp_path / "target", lambda *_: None) == path.parent
    assert server.requests == []


def test_offline_refuses_a_damaged_cache(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cache(server, tmp_path, digest="0" * 64)
    with pytest.raises(hub.DownloadError, match="is damaged"):
        hub.locate(REPOSITORY, "main", NAMES)


def test_says_what_the_hub_does_not_have(server: HubServer) -> None:
    (server.folder / NAMES[1]).unlink()
    with pytest.raises(hub.DownloadError, match=r"has no model\.safetensors at"):
        hub.locate(REPOSITORY, "main", NAMES)


def test_says_that_there_is_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(hub.DownloadError, match=r"127\.0\.0\.1:9 cannot be reached .*HF_ENDPOINT"):
        hub.locate(REPOSITORY, "main", NAMES)


def test_the_registry_names_what_can_be_exported() -> None:
    licenses = {model.name: model.license for model in known_models().values()}
    assert licenses == {config.name: config.license for config in CONFIGS.values()}
