"""Download the official checkpoint of a model: `config.json` and `model.safetensors`.

An interface for programs; people use `pointstream models fetch`. Writes one JSON object per line:
`{"file", "done", "total"}` is progress in bytes, and the last line, `{"folder", "repository",
"revision"}`, gives the location of the checkpoint. The exit status is 69 if the hub cannot be
reached, 1 for all other errors. `--check` only tests whether the hub responds, and needs no
packages.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from weights.da3 import reach
from weights.da3.registry import known_models

if TYPE_CHECKING:
    from weights.da3.hub import Report

CONFIG_FILE = "config.json"
FILES = [CONFIG_FILE, "model.safetensors"]


def write_line(**values: str | int) -> None:
    """Write one JSON line to stdout and flush it."""
    print(json.dumps(values), flush=True)


class MissingPackageError(Exception):
    """A required package cannot be imported."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{sys.executable} lacks a package for fetching models ({error}); "
            "`scripts/setup.sh --with-model-tools` installs it"
        )


def download_model(name: str, revision: str, target: Path, report: "Report") -> tuple[Path, str]:
    """Download the official checkpoint of a known model; return its folder and commit.

    Raises:
        OutOfReach: if the hub cannot be reached.
        DownloadError: if the hub does not provide the checkpoint.
        MissingPackageError: if a package is missing.
        CheckpointError: if it is the checkpoint of another model.
        OSError: if it cannot be written.
    """
    repository = known_models()[name].repository
    reach.check(repository)
    try:
        from weights.da3 import hub
    except ImportError as error:
        raise MissingPackageError(error) from error
    located = hub.locate(repository, revision, FILES)
    # Check the hub before loading PyTorch, which is slow. But check the packages of the export
    # before downloading gigabytes.
    try:
        from weights.da3.checkpoint import read_config
        from weights.da3.loading import CheckpointError
    except (ImportError, OSError) as error:
        raise MissingPackageError(error) from error
    folder = hub.download(located, FILES, target, report)
    found = read_config(folder / CONFIG_FILE).name
    if found != name:
        raise CheckpointError(f"{repository} holds {found}, not {name}")
    return folder, located.commit


def main() -> int:
    """Run the command and return its exit status."""
    models = known_models()
    parser = argparse.ArgumentParser(
        prog="python -m weights.da3.download",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=models)
    parser.add_argument("--revision", default="main", help="a branch, tag or commit")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="download nothing")
    action.add_argument("-o", "--output", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    repository = models[options.name].repository
    try:
        if options.check:
            reach.check(repository)
            return 0
        folder, commit = download_model(
            options.name,
            options.revision,
            options.output,
            lambda file, done, total: write_line(file=file, done=done, total=total),
        )
    # CheckpointError is a ValueError; importing it here would load PyTorch.
    except (reach.DownloadError, MissingPackageError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return os.EX_UNAVAILABLE if isinstance(error, reach.OutOfReach) else 1
    write_line(folder=str(folder), repository=repository, revision=commit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
