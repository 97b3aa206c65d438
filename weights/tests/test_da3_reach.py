"""The reachability check of the hub ends in limited time, whatever hangs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from weights.da3 import hub, reach
from weights.tests.hub_server import HubServer
from weights.tests.hubs import NAMES, REPOSITORY, cache, set_endpoint

pytestmark = pytest.mark.usefixtures("environment")


def ask(name: str) -> None:
    """Contact the hub in one of two ways."""
    if name == "check":
        reach.check(REPOSITORY)
    else:
        hub.locate(REPOSITORY, "main", NAMES)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        yield listener


def address_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("way", ["check", "locate"])
def test_a_hub_that_never_responds_is_out_of_reach(
    way: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, address_of(listener))
    monkeypatch.setattr(reach, "TIMEOUT", 0.2)
    with pytest.raises(
        reach.OutOfReach, match=r"127\.0\.0\.1:\d+ does not answer; see HF_ENDPOINT"
    ):
        ask(way)


@pytest.mark.parametrize("way", ["check", "locate"])
def test_a_hub_behind_a_firewall_is_out_of_reach(
    way: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, address_of(listener))
    monkeypatch.setattr(reach, "TIMEOUT", 0.2)
    with ExitStack() as others:
        # Connections beyond the backlog are dropped silently.
        for _ in range(4):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        with pytest.raises(reach.OutOfReach, match="does not answer; see HF_ENDPOINT"):
            ask(way)


@pytest.mark.parametrize("way", ["check", "locate"])
def test_name_resolution_takes_limited_time(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_gateway_error_is_out_of_reach(way: str, server: HubServer) -> None:
    server.status = 503
    with pytest.raises(reach.OutOfReach, match="answers 503"):
        ask(way)


def test_any_other_status_counts_as_reachable(server: HubServer) -> None:
    reach.check(REPOSITORY)
    server.status = 404
    reach.check(REPOSITORY)
    assert {method for method, _, _ in server.requests} == {"HEAD"}


def test_an_invalid_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    with pytest.raises(reach.DownloadError, match="nonsense cannot be asked"):
        reach.check(REPOSITORY)


def test_requests_go_through_a_proxy(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", server.address)
    reach.check(REPOSITORY)
    located = hub.locate(REPOSITORY, "main", NAMES)
    folder = hub.download(located, NAMES, tmp_path / "target", lambda *_: None)
    assert all((folder / n).read_bytes() == (server.folder / n).read_bytes() for n in NAMES)
    assert all(path.startswith("http://") for _, path, _ in server.requests)


@pytest.mark.parametrize("way", ["check", "locate"])
def test_a_proxy_that_does_not_connect_is_named(
    way: str, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, "https://hub.invalid")
    monkeypatch.setenv("HTTPS_PROXY", server.address.replace("://", "://user:secret@"))
    with pytest.raises(reach.OutOfReach, match=r"proxy.*502") as raised:
        ask(way)
    assert "secret" not in str(raised.value)
    assert ("CONNECT", "hub.invalid:443", None) in server.requests


@pytest.mark.parametrize("scheme", ["socks4", "ftp"])
def test_a_proxy_of_an_unknown_scheme_is_named_without_its_password(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_endpoint(monkeypatch, "https://hub.invalid")
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:secret@127.0.0.1:9")
    with pytest.raises(
        reach.DownloadError, match=rf"{scheme}://127\.0\.0\.1:9 is not one of"
    ) as raised:
        reach.check(REPOSITORY)
    assert "secret" not in str(raised.value)


def test_a_hub_may_be_exempt_from_the_proxy(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(reach.OutOfReach, match=r"through the proxy http://127\.0\.0\.1:9"):
        reach.check(REPOSITORY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    reach.check(REPOSITORY)


def test_a_socks_proxy_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setattr(reach, "find_spec", lambda _: None)
    with pytest.raises(reach.DownloadError, match="package socksio"):
        reach.check(REPOSITORY)
    monkeypatch.setattr(reach, "find_spec", lambda _: object())
    with pytest.raises(reach.OutOfReach, match="through the proxy socks5"):
        reach.check(REPOSITORY)


def test_offline_uses_only_the_cache(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(reach.OutOfReach, match=r"not in the hub's cache .* HF_HUB_OFFLINE is set"):
        reach.check(REPOSITORY)
    cache(server, tmp_path)
    reach.check(REPOSITORY)
    assert server.requests == []
    # Without a network the message suggests --offline.
    monkeypatch.delenv("HF_HUB_OFFLINE")
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(reach.OutOfReach, match="--offline"):
        reach.check(REPOSITORY)
