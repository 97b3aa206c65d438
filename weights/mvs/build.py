"""Build the embedded archive from its sources: `python -m weights.mvs.build [-o PATH]`.

The build is reproducible: the same sources give the same bytes on any machine.
"""

import argparse
from pathlib import Path

import torch

from weights.contract import Metadata, save_archive
from weights.mvs.model import MvsModel

METADATA = Metadata(
    name="mvs",
    version="2.1.0",
    license="Apache-2.0",
    patch_size=2,
    default_process_res=504,
    max_process_res=1008,
    scale="relative",
    precision="fp32",
    fuse=True,
    report=True,
    distortion=True,
    hints=True,
    extend=True,
    describe=True,
)
DEFAULT_PATH = Path(__file__).parent / "mvs.pt"


def build(path: Path) -> Metadata:
    """Script the model and write the archive; returns its metadata with the digest."""
    return save_archive(torch.jit.script(MvsModel().eval()), METADATA, path)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m weights.mvs.build", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_PATH, metavar="PATH")
    path = parser.parse_args().output
    metadata = build(path)
    print(f"{path}: {metadata.name} {metadata.version}, {metadata.digest}")


if __name__ == "__main__":
    main()
