"""Measure a long stream: `make bench ARGS="stream --frames 200"`.

Streams images over the WebSocket to the real program, with a `generate` every few images. Prints
what an update costs early and late, the memory of the process, and errors against known poses.
Without `--photos` the images are a procedural walk through a house, which is rendered once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import numpy as np

from weights.scenes.walk import REFERENCE, WalkSettings, write_walk

from ..service import ROOT, Server
from .accuracy import Truth
from .measure import LIMIT, Images, Plan, measure
from .report import as_dict, as_tables

RELEASE = ROOT / "target/release/pointstream"
WALKS = ROOT / "target/walks"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    walk = WalkSettings()
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="stream ..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--frames", type=int, default=walk.frames, help="images of the stream")
    parser.add_argument("--every", type=int, default=10, help="images of an update")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="with colmap.json, if known")
    parser.add_argument("--shuffle", action="store_true", help="send the images in random order")
    parser.add_argument(
        "--step", type=float, default=walk.step, help="metres per frame of the walk"
    )
    parser.add_argument("--process-res", type=int, help="default: 504, of a walk its own size")
    parser.add_argument("--window", type=int, default=0, help="0: the service chooses")
    parser.add_argument(
        "--num-max-points", type=int, default=1_000_000, help="largest cloud of an update"
    )
    parser.add_argument(
        "--whole", type=int, default=60, help="images to reconstruct at once, too; 0: none"
    )
    parser.add_argument(
        "--singles", type=int, default=3, help="windows to reconstruct alone, too; 0: none"
    )
    parser.add_argument(
        "--picture", type=Path, metavar="PNG", help="draw the final result from above"
    )
    parser.add_argument("--model", default="mvs", help="name or path of an archive")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--server", type=Path, default=RELEASE, help="the program")
    options = parser.parse_args(arguments)
    if options.every < 1 or options.frames < options.every:
        parser.error("--frames must be at least --every, and that at least 1")
    return options


def folder_of(options: argparse.Namespace) -> Path:
    """The folder of images; a walk is rendered if it is not there."""
    if options.photos:
        return options.photos
    settings = WalkSettings(frames=options.frames, step=options.step)
    folder = WALKS / f"{settings.frames}-{settings.step:g}"
    if not (folder / REFERENCE).exists():
        say(f"rendering {settings.frames} frames into {folder}")
        write_walk(folder, settings)
    return folder


def say(text: str) -> None:
    """Progress, which is no part of the tables."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(arguments)
    truth = Truth.of(folder_of(options), options.frames)
    count = len(truth.photos.paths)
    if count < options.frames:
        say(f"the folder has {count} images")
    if count > LIMIT:
        say(f"the server takes {LIMIT} images by default and is told to take {count}")
    order = list(range(count))
    if options.shuffle:
        order = np.random.default_rng(0).permutation(count).tolist()
    own_size = max(truth.photos.size)
    side = options.process_res or (504 if options.photos else own_size)
    plan = Plan(
        every=options.every,
        whole=min(options.whole, count),
        singles=options.singles,
        parameters={
            "process_res": side,
            "num_max_points": options.num_max_points,
            "window": options.window,
        },
        picture=options.picture,
    )
    command = ["--device", options.device, "--model", str(options.model)]
    command += ["--max-images-limit", str(max(count, LIMIT))]
    with Server(command, options.server) as server:
        found = asyncio.run(measure(server, truth, Images(truth, order), plan, say))
    if options.json:
        print(json.dumps(as_dict(found), indent=1))
        return
    name = truth.photos.name if options.photos else "a procedural walk"
    title = f"{name}{', shuffled' if options.shuffle else ''}, {options.device}"
    print(as_tables(found, title))


if __name__ == "__main__":
    main()
