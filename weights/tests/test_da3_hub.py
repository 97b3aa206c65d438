"""Checkpoints are downloaded from the hub: resumed, verified, and not twice."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from weights.contract import read_metadata
from weights.da3 import hub, reach
from weights.da3.config import CONFIGS
from weights.da3.export import export_model
from weights.da3.registry import known_models
from weights.tests.checkpoints import write_checkpoint
from weights.tests.da3_networks import TINY
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
    monkeypatch.setenv("HF_ENDPOINT", address)


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of the settings of where the tests run, and an empty cache."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith("HF_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    # The library's client remembers the proxies.
    close_session()
    yield
    close_session()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of this machine, the only one that is known."""
    files = tmp_path / "hub"
    files.mkdir()
    (files / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    (files / "model.safetensors").write_bytes(os.urandom(SIZE))
    server = HubServer(files)
    set_endpoint(monkeypatch, server.address)
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


def test_an_answer_without_a_length_is_asked_for_the_rest(
    server: HubServer, tmp_path: Path
) -> None:
    server.sized, server.cut = False, 400_000
    folder, _ = download(tmp_path / "target")
    assert same_files(folder, server)
    server.cut = 0
    with pytest.raises(reach.OutOfReach, match="broke off after 0 of 1000000 bytes"):
        download(tmp_path / "another")


def test_a_stray_file_is_swept(server: HubServer, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "stray").write_text("")
    (target / COMMIT).symlink_to(tmp_path)
    folder, _ = download(target)
    assert same_files(folder, server)
    assert [entry.name for entry in target.iterdir()] == [COMMIT]


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


def test_a_damaged_cache_is_passed_over(server: HubServer, tmp_path: Path) -> None:
    path = cache(server, tmp_path)
    path.resolve().write_bytes(b"damaged")
    folder, _ = download(tmp_path / "target")
    assert folder == tmp_path / "target" / COMMIT
    assert same_files(folder, server)


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


def ask(name: str) -> None:
    """Both ways in which the hub is asked."""
    if name == "check":
        reach.check(REPOSITORY)
    else:
        hub.locate(REPOSITORY, "main", NAMES)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        yield listener


def address_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("way", ["check", "locate"])
def test_a_hub_that_never_answers_is_out_of_reach(
    way: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, address_of(listener))
    monkeypatch.setattr(reach, "TIMEOUT", 0.2)
    with pytest.raises(
        reach.OutOfReach, match=r"127\.0\.0\.1:\d+ does not answer; see HF_ENDPOINT"
    ):
        ask(way)


@pytest.mark.parametrize("way", ["check", "locate"])
def test_a_hub_behind_a_wall_is_out_of_reach(
    way: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, address_of(listener))
    monkeypatch.setattr(reach, "TIMEOUT", 0.2)
    with ExitStack() as others:
        # What connects beyond the backlog is dropped without a word.
        for _ in range(4):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        with pytest.raises(reach.OutOfReach, match="does not answer; see HF_ENDPOINT"):
            ask(way)


@pytest.mark.parametrize("way", ["check", "locate"])
def test_looking_for_the_hubs_name_takes_limited_time(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, "http://hub.invalid")
    monkeypatch.setattr(reach, "DEADLINE", 0.2)
    ended = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        ended.wait(60)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(reach.OutOfReach, match=r"hub\.invalid does not answer within 0\.2 s; see"):
        ask(way)
    ended.set()


@pytest.mark.parametrize("way", ["check", "locate"])
def test_a_gateway_without_a_hub_is_out_of_reach(way: str, server: HubServer) -> None:
    server.status = 503
    with pytest.raises(reach.OutOfReach, match="answers 503"):
        ask(way)


def test_any_other_answer_is_the_hubs(server: HubServer) -> None:
    reach.check(REPOSITORY)
    server.status = 404
    reach.check(REPOSITORY)
    assert {method for method, _, _ in server.requests} == {"HEAD"}


def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    with pytest.raises(reach.DownloadError, match="nonsense cannot be asked"):
        reach.check(REPOSITORY)


def test_the_way_to_the_hub_leads_through_a_proxy(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", server.address)
    reach.check(REPOSITORY)
    folder, _ = download(tmp_path / "target")
    assert same_files(folder, server)
    assert all(path.startswith("http://") for _, path, _ in server.requests)


@pytest.mark.parametrize("way", ["check", "locate"])
def test_a_proxy_that_does_not_let_through_is_named(
    way: str, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, "https://hub.invalid")
    monkeypatch.setenv("HTTPS_PROXY", server.address.replace("://", "://user:secret@"))
    with pytest.raises(reach.OutOfReach, match=r"proxy.*502") as raised:
        ask(way)
    assert "secret" not in str(raised.value)
    assert ("CONNECT", "hub.invalid:443", None) in server.requests


def test_a_hub_may_be_exempt_from_the_proxy(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(reach.OutOfReach, match=r"through the proxy http://127\.0\.0\.1:9"):
        reach.check(REPOSITORY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    reach.check(REPOSITORY)


def test_a_socks_proxy_takes_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setattr(reach, "find_spec", lambda _: None)
    with pytest.raises(reach.DownloadError, match="package socksio"):
        reach.check(REPOSITORY)
    monkeypatch.setattr(reach, "find_spec", lambda _: object())
    with pytest.raises(reach.OutOfReach, match="through the proxy socks5"):
        reach.check(REPOSITORY)


def test_offline_only_the_cache_is_looked_at(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(reach.OutOfReach, match=r"not in the hub's cache .* HF_HUB_OFFLINE is set"):
        reach.check(REPOSITORY)
    cache(server, tmp_path)
    reach.check(REPOSITORY)
    assert server.requests == []
    # Without a network it is said that this would work.
    monkeypatch.delenv("HF_HUB_OFFLINE")
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(reach.OutOfReach, match="--offline"):
        reach.check(REPOSITORY)


def test_one_command_leads_from_a_name_to_an_archive(
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


def test_the_command_says_in_one_line_that_there_is_no_network(tmp_path: Path) -> None:
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


def test_the_registry_names_what_can_be_exported() -> None:
    licenses = {model.name: model.license for model in known_models().values()}
    assert licenses == {config.name: config.license for config in CONFIGS.values()}
