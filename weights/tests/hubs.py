"""A checkpoint for the local hub server, and the hub library's settings and cache."""

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import constants

from weights.tests.hub_server import COMMIT, HubServer

REPOSITORY = "depth-anything/DA3-SMALL"
NAMES = ["config.json", "model.safetensors"]
SIZE = 1_000_000
CACHE = "models--depth-anything--DA3-SMALL"


def set_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Set the endpoint as `HF_ENDPOINT` does when the library is imported."""
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_ENDPOINT", address)


def cache(server: HubServer, tmp_path: Path, digest: str | None = None) -> Path:
    """Store the files in the hub's cache as its library does; return the large file."""
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
