"""Downloads of checkpoints from the hub are resumed, verified and not repeated."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from weights.contract import read_metadata
from weights.da3 import hub, reach
from weights.da3.config import CONFIGS
from weights.da3.export import export_model
from weights.da3.registry import known_models
from weights.tests.checkpoints import write_checkpoint
from weights.tests.da3_networks import TINY
from weights.tests.hub_server import COMMIT, HubServer
from weights.tests.hubs import NAMES, REPOSITORY, SIZE, cache, set_endpoint

pytestmark = pytest.mark.usefixtures("environment")


def download(target: Path) -> tuple[Path, list[int]]:
    """Download the checkpoint; return its folder and the progress of the large file."""
    reported: list[int] = []

    def report(name: str, done: int, total: int) -> None:
        if name == NAMES[1]:
            assert total == SIZE
            reported.append(done)

    located = hub.locate(REPOSITORY, "main", NAMES)
    return hub.download(located, NAMES, target, report), reported


def same_files(folder: Path, server: HubServer) -> bool:
    return all((folder / n).read_bytes() == (server.folder / n).read_bytes() for n in NAMES)


def test_downloads_a_commit(server: HubServer, tmp_path: Path) -> None:
    stale = tmp_path / "target" / "another-commit"
    stale.mkdir(parents=True)
    folder, reported = download(tmp_path / "target")
    assert folder == tmp_path / "target" / COMMIT
    assert same_files(folder, server)
    assert not stale.exists()
    assert reported == sorted(reported)
    assert reported[-1] == SIZE


def test_a_truncated_download_is_resumed(server: HubServer, tmp_path: Path) -> None:
    server.cut = 300_000
    folder, _ = download(tmp_path / "target")
    assert same_files(folder, server)
    ranges = {wanted for _, path, wanted in server.requests if "elsewhere" in path}
    assert len(ranges) > 2


def test_a_later_download_resumes_a_partial_file(server: HubServer, tmp_path: Path) -> None:
    server.cut = 0  # from now on the server sends no byte of the large file
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


def test_a_truncated_response_without_a_length_is_resumed(
    server: HubServer, tmp_path: Path
) -> None:
    server.sized, server.cut = False, 400_000
    folder, _ = download(tmp_path / "target")
    assert same_files(folder, server)
    server.cut = 0
    with pytest.raises(reach.OutOfReach, match="broke off after 0 of 1000000 bytes"):
        download(tmp_path / "another")


def test_a_server_that_sends_nothing_is_not_retried(server: HubServer, tmp_path: Path) -> None:
    server.cut = 0
    with pytest.raises(reach.OutOfReach):
        download(tmp_path / "target")
    # Only the library's own retries.
    assert len([path for _, path, _ in server.requests if "elsewhere" in path]) == 6


def test_a_stray_file_is_removed(server: HubServer, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "stray").write_text("")
    (target / COMMIT).symlink_to(tmp_path)
    folder, _ = download(target)
    assert same_files(folder, server)
    assert [entry.name for entry in target.iterdir()] == [COMMIT]


def test_a_file_with_another_digest_is_refused_and_removed(
    server: HubServer, tmp_path: Path
) -> None:
    server.digest = "0" * 64
    with pytest.raises(hub.DownloadError, match="came damaged, as sha256:"):
        download(tmp_path / "target")
    assert not (tmp_path / "target" / COMMIT / NAMES[1]).exists()
    server.digest = None
    folder, _ = download(tmp_path / "target")
    assert same_files(folder, server)


def test_files_in_the_hubs_cache_are_not_downloaded(server: HubServer, tmp_path: Path) -> None:
    path = cache(server, tmp_path)
    folder, reported = download(tmp_path / "target")
    assert folder == path.parent
    assert reported == []
    assert all(method == "HEAD" for method, _, _ in server.requests)


def test_a_damaged_cache_is_ignored(server: HubServer, tmp_path: Path) -> None:
    path = cache(server, tmp_path)
    path.resolve().write_bytes(b"damaged")
    folder, _ = download(tmp_path / "target")
    assert folder == tmp_path / "target" / COMMIT
    assert same_files(folder, server)


def test_offline_uses_the_cache_and_sends_no_request(
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


def test_missing_files_on_the_hub_are_reported(server: HubServer) -> None:
    (server.folder / NAMES[1]).unlink()
    with pytest.raises(hub.DownloadError, match=r"has no model\.safetensors at"):
        hub.locate(REPOSITORY, "main", NAMES)


def test_a_missing_network_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(hub.DownloadError, match=r"127\.0\.0\.1:9 cannot be reached .*HF_ENDPOINT"):
        hub.locate(REPOSITORY, "main", NAMES)


def test_one_command_exports_an_archive_from_a_name(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, name="da3-small")
    monkeypatch.setitem(CONFIGS, config.name, config)
    write_checkpoint(server.folder, config)
    archive = tmp_path / "model.pt"
    server.cut = 0
    with pytest.raises(reach.OutOfReach):
        export_model("da3-small", "main", archive)
    server.cut = None
    export_model("da3-small", "v1", archive)
    assert read_metadata(archive).name == "da3-small"
    assert any("/resolve/v1/" in path for _, path, _ in server.requests)
    assert not (tmp_path / "model.pt.download").exists()
    (server.folder / "config.json").write_text(json.dumps({"model_name": "da3-base"}))
    with pytest.raises(ValueError, match="DA3-SMALL holds da3-base, not da3-small"):
        export_model("da3-small", "main", archive)


def test_the_command_reports_a_missing_network_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "weights.da3.export", "--model", "da3-small"]
    ended = subprocess.run(
        [*command, "-o", str(tmp_path / "model.pt")],
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 1
    assert "error: http://127.0.0.1:9 cannot be reached" in ended.stderr.splitlines()[-1]


def test_every_registered_model_can_be_exported() -> None:
    licenses = {model.name: model.license for model in known_models().values()}
    assert licenses == {config.name: config.license for config in CONFIGS.values()}
