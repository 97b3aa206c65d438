"""Fixtures for the result under test."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .result import Result


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the folder of the files."""
    parser.addoption("--result", required=True, help="folder with a result in every format")
    parser.addoption(
        "--rounding",
        type=float,
        default=0.0,
        help="how far positions may be apart, absolutely and relatively",
    )


@pytest.fixture(scope="session")
def rounding(request: pytest.FixtureRequest) -> float:
    """How far positions may be apart."""
    return request.config.getoption("--rounding")


@pytest.fixture(scope="session")
def result(request: pytest.FixtureRequest) -> Result:
    """The reference for the other formats: metadata, NPZ and GLB."""
    return Result.load(request.config.getoption("--result"))


@pytest.fixture(scope="session")
def unpacked(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack an archive of the result."""

    def unpack(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        with zipfile.ZipFile(result.folder / f"result.{name}.zip") as archive:
            assert archive.testzip() is None
            archive.extractall(folder)
        return folder

    return unpack
