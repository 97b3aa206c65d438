"""The service on the device: throughput, and two workers that share the device."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from integration.bench.photos import photos_of
from integration.bench.service import Photo, Server, generate, receive, upload_one

from .networks import archive, check
from .plan import SERVICE_TARGETS, Plan
from .precision import combinations


def measure(
    plan: Plan, folder: Path, device: str, binary: Path
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows of throughput, and a check that two workers serve two sessions at once.

    One run disables encoding ahead, so that the answer's timings include all of the model's work.
    """
    rows: list[dict[str, Any]] = []
    checks = []
    photos = _photos(plan)
    for size in plan.sizes:
        precision = plan.precisions[0]
        every = [heads for found, heads in combinations(plan, size) if found == precision]
        for heads in every:
            model = archive(folder, size, precision, heads)
            options = ["--device", device, "--model", str(model)]
            with Server([*options, "--feature-cache-mb", "0"], binary) as server:
                row: dict[str, Any] = {
                    "size": size,
                    "heads": heads,
                    "frames": len(photos),
                    "model_frames_per_second": asyncio.run(_model_rate(server, photos, plan)),
                    "target": SERVICE_TARGETS.get(size),
                }
            with Server(options, binary) as server:
                for _ in range(plan.runs + 1):  # the first run is a warm-up
                    session = asyncio.run(_session(server, photos, plan))
            rows.append({**row, **session.rates})
        checks.append(_target(size, rows, device))
    return rows, [*checks, _two_workers(plan, folder, device, binary)]


def _target(size: str, rows: list[dict[str, Any]], device: str) -> dict[str, Any]:
    """Compare with the target, which applies to an H100."""
    name = f"{size} reaches its target through the service"
    target = SERVICE_TARGETS.get(size)
    best = max(row["model_frames_per_second"] for row in rows if row["size"] == size)
    if target is None or not device.startswith("cuda"):
        return check(name, None, "there is no target for this device and size")
    return check(name, best >= target, f"{best:.0f} of {target:.0f} frames/s")


def _photos(plan: Plan) -> list[Photo]:
    """Repeat the sample scene's photos, at the model's input size."""
    count = min(32, plan.most_frames)
    return photos_of(count, plan.height, plan.width)[0]


@dataclass
class Found:
    """Measurements of a session."""

    timings: dict[str, float]
    """Seconds by stage, from the result's metadata."""
    rates: dict[str, float]
    """Frames per second."""


async def _session(server: Server, photos: list[Photo], plan: Plan, points: int = 100_000) -> Found:
    """Run one session from its first photo to its answer."""
    side = max(plan.height, plan.width)
    count = len(photos)
    # One run of the model takes all of them, so that the answer's timings are those of the whole.
    parameters = {"process_res": side, "max_images": count, "window": max(count, 6)}
    parameters["num_max_points"] = points
    query = urllib.parse.urlencode(parameters)
    session = server.rest("POST", f"/ws/session/create?{query}")["session_id"]
    address = f"{server.base.replace('http', 'ws', 1)}/ws/reconstruct/{session}"
    async with connect(address, max_size=None, compression=None) as socket:
        await receive(socket, "connected")
        begin = time.perf_counter()
        for photo in photos:
            await upload_one(socket, photo)
        request, text = await generate(socket)
        whole = time.perf_counter() - begin
    server.rest("DELETE", f"/ws/session/{session}")
    rates = {
        "request_frames_per_second": len(photos) / request,
        "whole_frames_per_second": len(photos) / whole,
    }
    return Found(json.loads(text)["metadata"]["timings"], rates)


async def _model_rate(server: Server, photos: list[Photo], plan: Plan) -> float:
    """Frames per second of a worker's part of a session: reading, encoding, relating, depth."""
    found = []
    for _ in range(plan.runs + 1):  # the first run is a warm-up
        timings = (await _session(server, photos, plan)).timings
        found.append(sum(timings[stage] for stage in ("frames", "encode", "model")))
    return len(photos) / min(found[1:])


def _two_workers(plan: Plan, folder: Path, device: str, binary: Path) -> dict[str, Any]:
    """Run two sessions at once on two workers of one device."""
    model = archive(folder, plan.sizes[0], plan.precisions[0])
    options = ["--device", device, "--model", str(model), "--workers-per-device", "2"]

    async def both(server: Server) -> list[Found]:
        photos = _photos(plan)
        return await asyncio.gather(*(_session(server, photos, plan) for _ in range(2)))

    name = "two workers share the device"
    try:
        with Server(options, binary) as server:
            asyncio.run(both(server))
            found = asyncio.run(both(server))
    except (SystemExit, OSError) as error:  # how the benchmark client reports errors
        return check(name, False, str(error))
    rates = [session.rates["whole_frames_per_second"] for session in found]
    queued = max(session.timings["queued"] for session in found)
    detail = " and ".join(f"{rate:.1f}" for rate in rates)
    detail += f" frames/s at the same time; a session waited {queued:.3f} s for a worker"
    return check(
        name, all(session.timings["queued"] < session.timings["model"] for session in found), detail
    )
