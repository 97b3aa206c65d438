"""Servers that tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from real_server import Server


@pytest.fixture(scope="session")
def flat() -> Iterator[Server]:
    """A model that answers at once."""
    server = Server("flat", "--webhook-allow-http", "--webhook-allow-private", "all")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def extending() -> Iterator[Server]:
    """A model that places images in a map."""
    server = Server("extending")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def adjusting() -> Iterator[Server]:
    """A model that places images in a map, and moves all of them later."""
    server = Server("adjusting")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def slow() -> Iterator[Server]:
    """A model that takes seconds."""
    server = Server("slow")
    yield server
    server.stop()
