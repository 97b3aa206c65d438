"""The command that writes the reference poses of a folder."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from weights import colmap
from weights.evaluation.photos import read_folder
from weights.metrics import pose_errors
from weights.tests.photo_folder import HEIGHT, VIEWS, WIDTH, render_folder

CAMERA = f"1 SIMPLE_RADIAL {WIDTH} {HEIGHT} 300 {WIDTH / 2} {HEIGHT / 2} -0.1"


def write_model(folder: Path, cameras: str) -> None:
    """A COLMAP model in text form: two images and a third one without camera 1."""
    half = np.sqrt(0.5)
    images = [
        f"1 {half} 0 {half} 0 1 2 3 1 1.png",
        "2 1 0 0 0 0 0 0 1 0.png",
    ]
    if "\n" in cameras:
        images.append("3 1 0 0 0 0 0 0 2 2.png")
    folder.mkdir()
    (folder / "cameras.txt").write_text(cameras + "\n")
    (folder / "images.txt").write_text("".join(f"{image}\n\n" for image in images))
    (folder / "points3D.txt").write_text("")


def test_model_becomes_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, model = tmp_path / "photos", tmp_path / "model"
    render_folder(photos)
    write_model(model, CAMERA)
    monkeypatch.setattr(sys, "argv", ["colmap", str(photos), str(model)])
    colmap.main()
    reference = json.loads((photos / "colmap.json").read_text())
    assert reference["size"] == [WIDTH, HEIGHT]
    assert (reference["focal"], reference["k1"]) == (300, -0.1)
    assert list(reference["world_to_camera"]) == ["0.png", "1.png"]
    read = read_folder(photos, 9)
    np.testing.assert_array_equal(read.referenced, [True, True] + [False] * (VIEWS - 2))
    np.testing.assert_allclose(
        read.extrinsics[1], [[0, 0, 1, 1], [0, 1, 0, 2], [-1, 0, 0, 3]], atol=1e-6
    )


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        (f"{CAMERA}\n2{CAMERA[1:]}", "2 cameras"),
        (f"1 PINHOLE {WIDTH} {HEIGHT} 300 310 168 126", "camera PINHOLE"),
        (f"1 SIMPLE_PINHOLE {WIDTH} {HEIGHT} 300 100 126", "principal point"),
    ],
)
def test_models_that_the_form_cannot_hold_are_refused(
    tmp_path: Path, cameras: str, message: str
) -> None:
    write_model(tmp_path / "model", cameras)
    with pytest.raises(SystemExit, match=message):
        colmap.reference(tmp_path / "model")


def test_photos_are_reconstructed_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendering = render_folder(tmp_path / "photos")
    monkeypatch.setattr(sys, "argv", ["colmap", str(tmp_path / "photos")])
    colmap.main()
    read = read_folder(tmp_path / "photos", 9)
    found = np.flatnonzero(read.referenced)
    assert len(found) >= 3
    errors = pose_errors(read.extrinsics[found].astype(np.float32), rendering.extrinsics[found])
    assert errors.auc() > 0.9
