"""Export Depth Anything 3 as an archive that the service can run.

`--checkpoint` takes a folder with the official `config.json` and `model.safetensors`, `--random` a
size, which gives a network that computes as much as a trained one but knows nothing.

With a precision of fp16 or bf16 the backbone computes in it, the heads compute in fp32; this is
for GPUs.
"""

import argparse
import os
import sys
from pathlib import Path

import torch

from weights.contract import Metadata, save_archive
from weights.contract.metadata import PRECISIONS
from weights.da3.checkpoint import load_checkpoint
from weights.da3.config import CONFIGS, PATCH_SIZE
from weights.da3.loading import CheckpointError
from weights.da3.model import Da3Model
from weights.da3.network import Da3Network
from weights.da3.random_weights import randomise

VERSION = "1.0.0"
RANDOM_LICENSE = "Apache-2.0"
DEFAULT_PROCESS_RES = 504
MAX_PROCESS_RES = 1008
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SIZES = {name.removeprefix("da3-"): config for name, config in CONFIGS.items()}


def export(network: Da3Network, name: str, license_id: str, precision: str, path: Path) -> Metadata:
    """Script a network and write the archive; returns its metadata with the digest."""
    network.backbone.to(DTYPES[precision])
    network.requires_grad_(False)
    metadata = Metadata(
        name=name,
        version=VERSION,
        license=license_id,
        patch_size=PATCH_SIZE,
        default_process_res=DEFAULT_PROCESS_RES,
        max_process_res=MAX_PROCESS_RES,
        scale="relative",
        precision=precision,
        fuse=False,
    )
    return save_archive(torch.jit.script(Da3Model(network).eval()), metadata, path)


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.da3.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, metavar="DIR")
    source.add_argument("--random", choices=SIZES, metavar="|".join(SIZES))
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH")
    options = parser.parse_args()
    if sys.flags.hash_randomization:
        # TorchScript writes a module's constants in the order of a set: fix it, so that the same
        # network gives the same bytes.
        command = [sys.executable, "-m", "weights.da3.export", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})
    try:
        if options.checkpoint:
            network, config = load_checkpoint(options.checkpoint)
            name, license_id = config.name, config.license
        else:
            config = SIZES[options.random]
            network = Da3Network(config).eval()
            randomise(network)
            name, license_id = f"{config.name}-random", RANDOM_LICENSE
        metadata = export(network, name, license_id, options.precision, options.output)
    except (CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {metadata.name}, {metadata.license}, {metadata.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
