"""Fixtures: a local hub server, and an environment without the user's settings."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from weights.tests.hub_server import HubServer
from weights.tests.hubs import SIZE, set_endpoint


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove hub and proxy settings from the environment, and use an empty cache."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith("HF_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    # The library's HTTP client keeps its proxy settings.
    close_session()
    yield
    close_session()


@pytest.fixture
def server(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    """A local hub server, set as the library's endpoint."""
    files = tmp_path / "hub"
    files.mkdir()
    (files / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    (files / "model.safetensors").write_bytes(os.urandom(SIZE))
    server = HubServer(files)
    set_endpoint(monkeypatch, server.address)
    # Chunks as small as the server's, so that a truncated response loses data.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    monkeypatch.setattr("time.sleep", lambda _: None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
