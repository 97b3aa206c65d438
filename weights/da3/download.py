"""Download the official checkpoint of a model: `config.json` and `model.safetensors`.

For programs: writes one JSON object a line. `{"file", "done", "total"}` is progress in bytes, the
last line `{"folder", "repository", "revision"}` says where the checkpoint lies. The exit status is
69 if the hub cannot be asked, 1 for all other errors. With `--check` the hub is only asked for an
answer, which takes no packages. People use `pointstream models fetch`.
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


def say(**values: str | int) -> None:
    """Write one line for the program that listens."""
    print(json.dumps(values), flush=True)


class LackingError(Exception):
    """A package that cannot be imported; the message says what to do about it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{sys.executable} lacks what fetching models needs ({error}); "
            "`scripts/setup.sh --with-model-tools` installs it"
        )


def obtain(name: str, revision: str, target: Path, report: "Report") -> tuple[Path, str]:
    """Get the official checkpoint of a known model; returns its folder and its commit.

    Raises:
        OutOfReach: if the hub cannot be asked.
        DownloadError: if it does not give the checkpoint.
        LackingError: if a package is missing.
        CheckpointError: if it is the checkpoint of another model.
        OSError: if it cannot be written.
    """
    repository = known_models()[name].repository
    reach.check(repository)
    try:
        from weights.da3 import hub
    except ImportError as error:
        raise LackingError(error) from error
    located = hub.locate(repository, revision, FILES)
    # PyTorch takes a while to load, and the hub may be out of reach. But what the export needs must
    # be there before gigabytes are downloaded for it.
    try:
        from weights.da3.checkpoint import read_config
        from weights.da3.loading import CheckpointError
    except (ImportError, OSError) as error:
        raise LackingError(error) from error
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
        folder, commit = obtain(
            options.name,
            options.revision,
            options.output,
            lambda file, done, total: say(file=file, done=done, total=total),
        )
    # That of a checkpoint is a ValueError, and known only once PyTorch is loaded.
    except (reach.DownloadError, LackingError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return os.EX_UNAVAILABLE if isinstance(error, reach.OutOfReach) else 1
    say(folder=str(folder), repository=repository, revision=commit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
