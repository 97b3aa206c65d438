"""Build the embedded archive from its sources: `python -m weights.mvs.build [-o PATH]`.

The build is reproducible: the same sources give the same bytes on any machine.
"""

import argparse
from pathlib import Path

import torch

from weights.contract import Metadata, save_archive
from weights.contract.metadata import AdjustmentNeed, Memory, MemoryNeed
from weights.mvs.model import MvsModel

CPU = MemoryNeed(
    # `encode` enlarges small frames, so it needs more for them than their pixels tell.
    fixed=55e6,
    # Features, and the matches with up to ten others.
    per_frame=14e6,
    per_pixel=32,
    per_call_pixel=230,
    # Tracks: a row for each, a column for each frame.
    per_pair=60e3,
    adjust=AdjustmentNeed(fixed=60e6, per_link=1500, per_lens=100, per_shared=150, per_pair=1000),
)
"""Upper estimates of what `python -m weights.measure_memory` found (`weights/mvs/README.md`)."""
METADATA = Metadata(
    name="mvs",
    version="2.5.0",
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
    adjust=True,
    watch=True,
    memory=Memory(cpu=CPU),
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
