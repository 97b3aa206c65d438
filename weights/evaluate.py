"""Measure an archive: `python -m weights.evaluate [PATH]`.

Prints Markdown tables: of unseen procedural scenes or, with `--photos`, of folders of photos with
reference poses by COLMAP (see README.md beside this file).
"""

import argparse
import time
from pathlib import Path

import torch

from weights.evaluation.on_photos import (
    LARGEST_SET,
    QUICK_RESOLUTIONS,
    RESOLUTIONS,
    Report,
    Settings,
    evaluate_photos,
)
from weights.evaluation.photo_sets import SUITES
from weights.evaluation.report import print_progress, write_between_marks
from weights.evaluation.scenes import SCENES, SEEDS, SPECIAL_SCENES, evaluate_scenes
from weights.mvs.build import DEFAULT_PATH


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("archive", type=Path, nargs="?", default=DEFAULT_PATH)
    parser.add_argument("--threads", type=int, help="CPU threads of the model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--document", type=Path, help="also write the tables into it")
    scenes = parser.add_argument_group("procedural scenes")
    scenes.add_argument(
        "--scenes", type=int, default=SCENES, help="scenes for each number of views"
    )
    scenes.add_argument(
        "--special", type=int, default=SPECIAL_SCENES, help="scenes of each special set"
    )
    scenes.add_argument("--first-seed", type=int, default=SEEDS, help="for development: below 1000")
    photos = parser.add_argument_group("photos")
    photos.add_argument(
        "--photos",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders of photos with colmap.json",
    )
    photos.add_argument("--suite", choices=SUITES, default="quick", help="sets of each folder")
    photos.add_argument(
        "--process-res",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help=f"longest sides; default {QUICK_RESOLUTIONS} for the quick suite, else {RESOLUTIONS}",
    )
    photos.add_argument(
        "--max-frames", type=int, default=LARGEST_SET, help="larger folders are thinned evenly"
    )
    photos.add_argument(
        "--compare", type=Path, metavar="ARCHIVE", help="a second archive for the same sets"
    )
    options = parser.parse_args()
    start = time.perf_counter()
    if options.photos:
        report, name = _photos(options), "photos"
    else:
        tables = _scenes(options)
        report, name = Report(tables, tables), "evaluation"
    print(report.full)
    if options.document:
        write_between_marks(options.document, report.summary, name)
    print_progress(f"took {time.perf_counter() - start:.0f} s")


def _scenes(options: argparse.Namespace) -> str:
    if options.threads:
        torch.set_num_threads(options.threads)
    return evaluate_scenes(
        options.archive, options.device, options.scenes, options.special, options.first_seed
    )


def _photos(options: argparse.Namespace) -> Report:
    quick = options.suite == "quick"
    settings = Settings(
        suite=options.suite,
        resolutions=tuple(options.process_res or (QUICK_RESOLUTIONS if quick else RESOLUTIONS)),
        max_frames=options.max_frames,
        device=options.device,
        threads=options.threads or 1,
    )
    archives = [options.archive, *([options.compare] if options.compare else [])]
    return evaluate_photos(archives, options.photos, settings)


if __name__ == "__main__":
    main()
