"""Render a random scene: `python -m weights.scenes OUTDIR --seed 1 --views 8`.

Writes the photos, `depth.npz` (float16, z in the camera frame) and `cameras.json` (intrinsics and
world-to-camera extrinsics).
"""

import argparse
from pathlib import Path as FilePath

from weights.scenes import Look, Path, SceneSettings, render_scene
from weights.scenes.files import FORMATS, write_rendering


def main() -> None:
    """Run the command."""
    defaults = SceneSettings()
    parser = argparse.ArgumentParser(prog="python -m weights.scenes", description=__doc__)
    parser.add_argument("folder", type=FilePath)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--views", type=int, default=defaults.views)
    parser.add_argument("--width", type=int, default=defaults.width)
    parser.add_argument("--height", type=int, default=defaults.height)
    parser.add_argument("--field-of-view", type=float, help="horizontal, in degrees")
    parser.add_argument("--path", choices=[path.value for path in Path])
    parser.add_argument("--look", choices=[look.value for look in Look], default=Look.RICH.value)
    parser.add_argument("--format", choices=FORMATS, default="png")
    options = parser.parse_args()
    settings = SceneSettings(
        views=options.views,
        width=options.width,
        height=options.height,
        field_of_view=options.field_of_view,
        path=Path(options.path) if options.path else None,
        look=Look(options.look),
    )
    write_rendering(render_scene(options.seed, settings), options.folder, options.format)


if __name__ == "__main__":
    main()
