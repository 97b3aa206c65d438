"""Measure the error of depth and cameras in half precision relative to single precision.

The networks have random weights, which amplify rounding more than trained weights do. Half
precision is slow on the CPU, but rounds as on a GPU: sums are in single precision.
"""

import argparse
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from weights.contract.metadata import PRECISIONS
from weights.da3.config import ANY_VIEW, Da3Config
from weights.da3.precision import set_precision
from weights.da3.random_weights import randomise
from weights.da3.variants import build_model, build_network

Results = tuple[Tensor, Tensor]
"""Rows of cameras `[N, 22]`, and depth and confidence `[N, 2, H, W]`."""


def errors(found: Results, expected: Results) -> dict[str, float]:
    """Relative errors of depth and confidence, largest rotation error in degrees, and largest
    position error relative to the extent of the camera positions."""
    depth = (found[1][:, 0] / expected[1][:, 0] - 1).abs().flatten()
    confidence = (found[1][:, 1] / expected[1][:, 1] - 1).abs().flatten()
    poses = [rows[:, :12].reshape(-1, 3, 4).double() for rows in (found[0], expected[0])]
    rotations = [pose[:, :, :3] for pose in poses]
    cosines = ((rotations[0] * rotations[1]).sum((1, 2)) - 1) / 2
    centres = [-(pose[:, :, :3].transpose(1, 2) @ pose[:, :, 3:])[:, :, 0] for pose in poses]
    extent = (centres[1] - centres[1].mean(0)).norm(dim=1).max()
    return {
        "depth_median": float(depth.median()),
        "depth_p99": float(depth.sort().values[int(0.99 * (len(depth) - 1))]),
        "confidence_median": float(confidence.median()),
        "rotation_degrees": float(torch.rad2deg(torch.arccos(cosines.clamp(-1, 1))).max()),
        "position": float((centres[0] - centres[1]).norm(dim=1).max() / extent),
    }


def reconstruct(config: Da3Config, pixels: Tensor, precision: str, heads: str) -> Results:
    """Run a network with random weights on frames uint8 `[N, 3, H, W]`."""
    network = build_network(config)
    randomise(network, 0)
    set_precision(network, precision, heads)
    model = build_model(network)
    size = torch.tensor(pixels.shape[2:])
    with torch.no_grad():
        state = model.relate(model.encode(pixels), size)
        cameras = model.cameras(state, size)
        return cameras, model.dense(state, size, torch.tensor([0, len(pixels)]))


def smooth_frames(frames: int, height: int, width: int) -> Tensor:
    """Frames uint8 `[N, 3, H, W]` without sharp edges."""
    generator = torch.Generator().manual_seed(frames)
    coarse = torch.rand(frames, 3, height // 14 + 1, width // 14 + 1, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth * 255).round().to(torch.uint8)


def measure(
    config: Da3Config, pixels: Tensor, precisions: list[str]
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield the precision of the backbone, that of the heads, and the errors."""
    expected = reconstruct(config, pixels, "fp32", "fp32")
    for precision, half_heads in itertools.product(precisions, (False, True)):
        heads = precision if half_heads else "fp32"
        yield precision, heads, errors(reconstruct(config, pixels, precision, heads), expected)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.measure_precision", description=__doc__
    )
    sizes = [name.removeprefix("da3-") for name in ANY_VIEW]
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=["small", "base", "large"])
    half = [precision for precision in PRECISIONS if precision != "fp32"]
    parser.add_argument("--precisions", nargs="+", choices=half, default=["fp16"])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--height", type=int, default=112)
    parser.add_argument("--width", type=int, default=168)
    options = parser.parse_args()
    pixels = smooth_frames(options.frames, options.height, options.width)
    columns = ("size", "backbone", "heads", "depth", "99 % of depth", "confidence")
    columns += ("rotation", "position")
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for size in options.sizes:
        for precision, heads, found in measure(ANY_VIEW[f"da3-{size}"], pixels, options.precisions):
            angle = found.pop("rotation_degrees")
            shares = [f"{100 * value:.3f} %" for value in found.values()]
            cells = [size, precision, heads, *shares[:3], f"{angle:.3f}°", shares[3]]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
