"""Measure an archive: `python -m weights.evaluate [PATH]`.

Prints Markdown tables: of unseen procedural scenes or, with `--photos`, of folders of photos with
reference poses by COLMAP (see README.md beside this file).
"""

import argparse
import time
from pathlib import Path

import torch

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
    options = parser.parse_args()
    start = time.perf_counter()
    if options.threads:
        torch.set_num_threads(options.threads)
    report = evaluate_scenes(
        options.archive, options.device, options.scenes, options.special, options.first_seed
    )
    print(report)
    if options.document:
        write_between_marks(options.document, report, "evaluation")
    print_progress(f"took {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
