"""Starts the development build and writes its OpenAPI and AsyncAPI documents into a folder."""

import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

PROGRAM = Path(__file__).resolve().parents[2] / "target/debug/pointstream"
ANNOUNCEMENT = "listening on "
DOCUMENTS = ("openapi.json", "asyncapi.json")


def main(folder: Path) -> None:
    """Writes the documents."""
    with tempfile.TemporaryDirectory() as data:
        options = ["--port", "0", "--device", "cpu", "--data-dir", data]
        command = [str(PROGRAM), "--model", "mvs", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                line = next(line for line in server.stdout if line.startswith(ANNOUNCEMENT))
                address = line.removeprefix(ANNOUNCEMENT).strip()
                for name in DOCUMENTS:
                    with urlopen(f"{address}/{name}", timeout=60) as answer:
                        (folder / name).write_bytes(answer.read())
            finally:
                server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
