"""Check and measure Depth Anything 3 on a GPU: `python -m integration.gpu`.

Needs no network and should take less than ten minutes. Writes the results to
`integration/gpu/results/`, under the device's name. `--device cpu --tiny` tests the script itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from . import launches, precision, report, service, throughput
from .networks import ROOT, check
from .plan import FULL, TINY


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m integration.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument(
        "--server", type=Path, help="the service's binary; default: skip the service"
    )
    parser.add_argument("--sizes", nargs="+", choices=FULL.sizes, help="default: all")
    parser.add_argument(
        "--tiny", action="store_true", help="use small frames and the smallest network"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "integration/gpu/results")
    return parser.parse_args()


def run(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Run all checks; gives the results so far after each part, so that a failure loses none."""
    plan = TINY if options.tiny else FULL
    if options.sizes:
        plan = dataclasses.replace(plan, sizes=tuple(options.sizes))
    on_gpu = options.device.startswith("cuda")
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name(options.device) if on_gpu else "processor",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else "not used",
        "plan": dataclasses.asdict(plan),
        "checks": [],
        "precision": [],
        "throughput": [],
        "launches": [],
        "service": [],
    }
    results["precision"], checks = precision.measure(plan, folder, options.device)
    results["checks"] += checks
    yield results
    results["throughput"], checks = throughput.measure(plan, folder, options.device)
    results["checks"] += checks
    yield results
    results["launches"] = launches.measure(plan, folder, options.device)
    yield results
    checks = [check("two workers share the device", None, "no --server was given")]
    if options.server:
        served = service.measure(plan, folder, options.device, options.server)
        results["service"], checks = served
    results["checks"] += checks
    yield results


def main() -> int:
    """Run the command and return its exit status: 1 if a check failed."""
    options = parse_arguments()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: PyTorch finds no GPU; try --device cpu --tiny", file=sys.stderr)
        return 1
    begin = time.monotonic()
    written: list[Path] = []
    results: dict[str, Any] = {"checks": []}
    with tempfile.TemporaryDirectory(prefix="pointstream-gpu-") as folder:
        for results in run(options, Path(folder)):
            results["seconds"] = time.monotonic() - begin
            name = re.sub(r"[^a-z0-9]+", "-", results["device"].lower()).strip("-")
            written = report.write(results, options.output, name)
    for path in written:
        print(path)
    failed = [row for row in results["checks"] if row["passed"] is False]
    for row in failed:
        print(f"failed: {row['check']} ({row['detail']})", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
