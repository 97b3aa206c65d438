"""The package as users get it: the wheel, and the notebook."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pointstream
from real_server import REPOSITORY, Server

PACKAGE = REPOSITORY / "clients/python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From a copy, since the build leaves files beside the sources.
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(PACKAGE, source, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    # With the locked setuptools, and without the network.
    command += ["--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_has_everything_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"pointstream-{pointstream.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
        licence = [name for name in archive.namelist() if name.endswith("/LICENSE")]
        assert archive.read(licence[0]) == (REPOSITORY / "LICENSE").read_bytes()
    sources = {f"pointstream/{path.name}" for path in (PACKAGE / "src/pointstream").glob("*.py")}
    assert names == sources | {"pointstream/py.typed"}
    required = [line for line in text.splitlines() if line.startswith("Requires-Dist")]
    assert not [line for line in required if "extra ==" not in line and "torch" in line]
    assert "License-Expression: Apache-2.0" in text


def test_the_wheel_is_imported(wheel: Path) -> None:
    code = "import pointstream, pointstream.sync; print(pointstream.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert str(wheel) in done.stdout


def test_the_cells_of_the_notebook_run(flat: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    path = PACKAGE / "examples/cloud.ipynb"
    notebook = json.loads(path.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    # Outputs would be old at the next change, and large.
    assert all(cell["outputs"] == [] for cell in cells)
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("POINTSTREAM_URL", flat.url)
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert names["sizes"][0] < names["sizes"][1]
    for picture in ("view", "side", "grown"):
        pixels = np.asarray(names[picture])
        assert (pixels != 255).any(axis=2).mean() > 0.3, f"{picture} is empty"


def test_examples_of_the_documents_run(flat: Server, tmp_path: Path) -> None:
    """Each Python block of the README, as a program of its own."""
    blocks = (PACKAGE / "README.md").read_text().split("```python\n")[1:]
    codes = [block.split("```")[0] for block in blocks]
    assert len(codes) >= 4
    photos = REPOSITORY / "examples/sample_scene"
    for photo in sorted(photos.glob("*.jpg"))[:4]:
        shutil.copy(photo, tmp_path)
    for code in codes:
        code = code.replace("http://127.0.0.1:8000", flat.url)
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE / "src")}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
    assert (tmp_path / "scene.glb").read_bytes().startswith(b"glTF")
