"""Write reference poses of photos to their `colmap.json`: `python -m weights.colmap FOLDER`.

Takes the poses from a COLMAP model or, without one, reconstructs the photos with COLMAP's defaults.
All photos must be from one camera at one focal length. Needs the package `pycolmap`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from weights.evaluation.photos import EXTENSIONS, REFERENCE

MODELS = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL")
OFF_CENTRE = 1.0
"""Pixels by which the principal point may differ from the middle of the photo."""
ABOUT = "World-to-camera poses by COLMAP; frames that it did not register are missing."


def reference(model: Path) -> dict[str, Any]:
    """The content of `colmap.json` for a COLMAP model, in text or binary form."""
    import pycolmap

    reconstruction = pycolmap.Reconstruction(model)
    images = [reconstruction.images[key] for key in reconstruction.reg_image_ids()]
    cameras = {image.camera_id for image in images}
    if len(cameras) != 1:
        raise SystemExit(f"{model} has {len(cameras)} cameras, expected one for all photos")
    camera = reconstruction.cameras[cameras.pop()]
    if camera.model.name not in MODELS:
        raise SystemExit(f"{model} has the camera {camera.model.name}, expected one of {MODELS}")
    focal, x, y, *distortion = (float(value) for value in camera.params)
    if max(abs(x - camera.width / 2), abs(y - camera.height / 2)) > OFF_CENTRE:
        raise SystemExit(f"{model} has its principal point at {x}, {y}, expected the middle")
    return {
        "about": ABOUT,
        "size": [camera.width, camera.height],
        "focal": focal,
        "k1": distortion[0] if distortion else 0.0,
        "world_to_camera": {
            image.name: image.cam_from_world().matrix().round(7).tolist()
            for image in sorted(images, key=lambda image: image.name)
        },
    }


def reconstruct(folder: Path, target: Path) -> Path:
    """Reconstruct photos with COLMAP; return the largest of its models."""
    import pycolmap

    database = target / "database.db"
    names = [path.name for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS]
    pycolmap.extract_features(
        database, folder, sorted(names), camera_mode=pycolmap.CameraMode.SINGLE
    )
    pycolmap.match_exhaustive(database)
    models = pycolmap.incremental_mapping(database, folder, target)
    if not models:
        raise SystemExit(f"COLMAP found no reconstruction of {folder}")
    return target / str(max(models, key=lambda key: models[key].num_reg_images()))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.colmap", description=__doc__)
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument(
        "model", type=Path, nargs="?", help="folder with cameras.txt or cameras.bin"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as target:
        model = options.model or reconstruct(options.folder, Path(target))
        content = reference(model)
    (options.folder / REFERENCE).write_text(json.dumps(content))
    print(f"{len(content['world_to_camera'])} poses, focal length {content['focal']:.1f} px")


if __name__ == "__main__":
    main()
