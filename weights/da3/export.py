"""Export Depth Anything 3 as an archive that the service can run.

`--checkpoint` exports a folder with the official `config.json` and `model.safetensors`. `--model`
downloads the official checkpoint of a name to `PATH.download`, exports it and removes the download.
`--random` exports a network of the given size with random weights, to measure time and memory.

With fp16 or bf16 the backbone computes in half precision; this is for GPUs. The heads compute in
fp32 unless `--heads` sets another precision; `python -m weights.measure_precision` measures the
error.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import torch

from weights.contract import Metadata, save_archive
from weights.contract.metadata import PRECISIONS, Normalisation
from weights.da3.checkpoint import load_checkpoint
from weights.da3.config import CONFIGS, PATCH_SIZE, AnyConfig
from weights.da3.download import MissingPackageError, download_model
from weights.da3.loading import CheckpointError
from weights.da3.memory import memory_of
from weights.da3.pixels import CHANNEL_DEVIATION, CHANNEL_MEAN
from weights.da3.precision import set_precision
from weights.da3.random_weights import randomise
from weights.da3.reach import DownloadError
from weights.da3.registry import known_models
from weights.da3.variants import Network, abilities, build_model, build_network

VERSION = "1.0.0"
RANDOM_LICENSE = "Apache-2.0"
DEFAULT_PROCESS_RES = 504
MAX_PROCESS_RES = 1008
REPORT_INTERVAL = 5.0
"""Seconds between progress lines of a download."""
SIZES = {name.removeprefix("da3-").removeprefix("da3"): config for name, config in CONFIGS.items()}


def export(
    network: Network,
    config: AnyConfig,
    name: str,
    license_id: str,
    precision: str,
    path: Path,
    source_digest: str = "",
    heads: str = "fp32",
) -> Metadata:
    """Script a network and write the archive; returns its metadata with the digest."""
    set_precision(network, precision, heads)
    network.requires_grad_(False)
    metadata = Metadata(
        name=name,
        version=VERSION,
        license=license_id,
        patch_size=PATCH_SIZE,
        default_process_res=DEFAULT_PROCESS_RES,
        max_process_res=MAX_PROCESS_RES,
        precision=precision,
        head_precision=heads,
        memory=memory_of(config, precision, heads),
        normalisation=Normalisation(CHANNEL_MEAN, CHANNEL_DEVIATION),
        source_digest=source_digest,
        **abilities(network),
    )
    return save_archive(torch.jit.script(build_model(network)), metadata, path)


def export_checkpoint(
    folder: Path,
    path: Path,
    precision: str = "fp32",
    name: str | None = None,
    heads: str = "fp32",
) -> Metadata:
    """Export an official checkpoint, under its own name unless another is given.

    Raises:
        CheckpointError: if it cannot be used.
        OSError: if a file cannot be read or written.
    """
    checkpoint = load_checkpoint(folder)
    config = checkpoint.config
    return export(
        checkpoint.network,
        config,
        name or config.name,
        config.license,
        precision,
        path,
        checkpoint.digest,
        heads,
    )


def export_model(
    name: str, revision: str, path: Path, precision: str = "fp32", heads: str = "fp32"
) -> Metadata:
    """Download and export the official checkpoint of a known model.

    If that fails, the partial download stays beside `path`, and the next call resumes it.

    Raises:
        DownloadError, MissingPackageError: if it cannot be downloaded.
        CheckpointError: if it cannot be used.
        OSError: if a file cannot be read or written.
    """
    downloads = path.with_name(f"{path.name}.download")
    told = 0.0

    def report(file: str, done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > REPORT_INTERVAL:
            told = time.monotonic()
            print(f"{file}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", file=sys.stderr)

    print(f"{name} is under the licence {known_models()[name].license}", file=sys.stderr)
    folder, _ = download_model(name, revision, downloads, report)
    metadata = export_checkpoint(folder, path, precision, heads=heads)
    shutil.rmtree(downloads, ignore_errors=True)
    return metadata


def export_random(
    size: str, path: Path, precision: str = "fp32", seed: int = 0, heads: str = "fp32"
) -> Metadata:
    """Export a network of one of `SIZES` with random weights."""
    config = SIZES[size]
    network = build_network(config)
    randomise(network, seed)
    name = f"{config.name}-random"
    return export(network, config, name, RANDOM_LICENSE, precision, path, heads=heads)


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.da3.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, metavar="DIR")
    source.add_argument("--model", choices=known_models(), metavar="NAME")
    source.add_argument("--random", choices=SIZES, metavar="|".join(SIZES))
    parser.add_argument("--revision", help="with --model: branch, tag or commit (default: main)")
    parser.add_argument("--name", help="name of the archive (default: the checkpoint's model_name)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument(
        "--heads", choices=PRECISIONS, default="fp32", help="precision of the depth heads"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH")
    options = parser.parse_args()
    if options.name and not options.checkpoint:
        parser.error("--name goes with --checkpoint")
    if options.revision and not options.model:
        parser.error("--revision goes with --model")
    if sys.flags.hash_randomization:
        # TorchScript writes a module's constants in the order of a set. Fix the hash seed, so that
        # the same network gives the same bytes.
        command = [sys.executable, "-m", "weights.da3.export", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})
    precisions = {"precision": options.precision, "heads": options.heads}
    try:
        if options.checkpoint:
            metadata = export_checkpoint(
                options.checkpoint, options.output, name=options.name, **precisions
            )
        elif options.model:
            revision = options.revision or "main"
            metadata = export_model(options.model, revision, options.output, **precisions)
        else:
            metadata = export_random(options.random, options.output, **precisions)
    except (CheckpointError, DownloadError, MissingPackageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {metadata.name}, {metadata.license}, {metadata.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
