"""Starts the server and checks its AsyncAPI document with the official schema."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from jsonschema import Draft7Validator

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parents[1] / "target/debug/pointstream"
SCHEMA = HERE / "node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"
ANNOUNCEMENT = "listening on "


def served_document() -> dict[str, Any]:
    """The document that the development build serves."""
    with tempfile.TemporaryDirectory() as data:
        options = ["--port", "0", "--device", "cpu", "--data-dir", data]
        command = [str(PROGRAM), "--model", "mvs", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                line = next(line for line in server.stdout if line.startswith(ANNOUNCEMENT))
                address = line.removeprefix(ANNOUNCEMENT).strip()
                with urlopen(f"{address}/asyncapi.json", timeout=60) as answer:
                    return json.load(answer)
            finally:
                server.terminate()


def main() -> None:
    """Checks the document, and that the check can fail."""
    validator = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    document = served_document()
    errors = list(validator.iter_errors(document))
    if errors:
        sys.exit("\n".join(f"{error.json_path}: {error.message[:500]}" for error in errors))
    broken = {**document, "operations": {"greet": {"action": "shout"}}}
    if validator.is_valid(broken):
        sys.exit("a broken document passes")
    print(f"{len(document['components']['messages'])} messages are described as AsyncAPI asks")


if __name__ == "__main__":
    main()
