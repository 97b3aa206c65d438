"""Download the official checkpoint of a model: `config.json` and `model.safetensors`.

For programs: writes one JSON object a line. `{"file", "done", "total"}` is progress in bytes, the
last line `{"folder", "repository", "revision"}` says where the checkpoint lies. People use
`pointstream models fetch`.
"""

import argparse
import json
import sys
from pathlib import Path

from weights.da3.registry import known_models

CONFIG_FILE = "config.json"
FILES = [CONFIG_FILE, "model.safetensors"]


def say(**values: str | int) -> None:
    """Write one line for the program that listens."""
    print(json.dumps(values), flush=True)


def fail(reason: str) -> int:
    """Say what is wrong; returns the exit status."""
    print(f"error: {reason}", file=sys.stderr)
    return 1


def lacking(error: Exception) -> str:
    """What to do about a package that cannot be imported."""
    return (
        f"{sys.executable} lacks what fetching models needs ({error}); "
        "`scripts/setup.sh --with-model-tools` installs it"
    )


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
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    repository = models[options.name].repository
    try:
        from weights.da3 import hub
    except ImportError as error:
        return fail(lacking(error))
    try:
        located = hub.locate(repository, options.revision, FILES)
        # PyTorch takes a while to load, and the hub may be out of reach. But what the export needs
        # must be there before gigabytes are downloaded for it.
        try:
            from weights.da3.checkpoint import read_config
            from weights.da3.loading import CheckpointError
        except (ImportError, OSError) as error:
            return fail(lacking(error))
        folder = hub.download(
            located,
            FILES,
            options.output,
            lambda file, done, total: say(file=file, done=done, total=total),
        )
    except (hub.DownloadError, OSError) as error:
        return fail(str(error))
    try:
        found = read_config(folder / CONFIG_FILE).name
    except (CheckpointError, OSError) as error:
        return fail(str(error))
    if found != options.name:
        return fail(f"{repository} holds {found}, not {options.name}")
    say(folder=str(folder), repository=repository, revision=located.commit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
