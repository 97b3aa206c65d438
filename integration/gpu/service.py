"""The service on the device: its throughput, and two workers that share it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from integration.bench.service import Photo, Server, generate, receive, upload_one

from .networks import ROOT, archive, check
from .plan import SERVICE_TARGETS, Plan

SIDE = 504
"""Process resolution: the longest side."""


def measure(
    plan: Plan, folder: Path, device: str, binary: Path
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows of throughput, and a check that two workers serve two sessions at once."""
    rows: list[dict[str, Any]] = []
    side = min(SIDE, plan.width)
    for size in plan.sizes:
        model = archive(folder, size, plan.precisions[0])
        with Server(["--device", device, "--model", str(model)], binary) as server:
            for _ in range(plan.runs + 1):  # the first one loads what is loaded once
                found = asyncio.run(_session(server, _photos(_frames(plan)), side))
        rows.append({"size": size, **found, "target": SERVICE_TARGETS.get(size)})
    return rows, [_two_workers(plan, folder, device, binary, side)]


def _frames(plan: Plan) -> int:
    return min(32, plan.most_frames)


def _photos(count: int) -> list[Photo]:
    """The sample scene's photos again and again."""
    paths = sorted((ROOT / "examples/sample_scene").glob("*.jpg"))
    return [Photo(f"{i:03}.jpg", paths[i % len(paths)].read_bytes()) for i in range(count)]


async def _session(server: Server, photos: list[Photo], side: int) -> dict[str, Any]:
    """Frames per second of one session: of the model alone, and from first photo to answer."""
    query = urllib.parse.urlencode({"process_res": side, "max_images": len(photos)})
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
    timings = json.loads(text)["metadata"]["timings"]
    return {
        "frames": len(photos),
        "model_frames_per_second": len(photos) / (timings["encode"] + timings["model"]),
        "request_frames_per_second": len(photos) / request,
        "whole_frames_per_second": len(photos) / whole,
    }


def _two_workers(plan: Plan, folder: Path, device: str, binary: Path, side: int) -> dict[str, Any]:
    """Two sessions at once on two workers of one device."""
    model = archive(folder, plan.sizes[0], plan.precisions[0])
    options = ["--device", device, "--model", str(model), "--workers-per-device", "2"]

    async def both(server: Server) -> list[dict[str, Any]]:
        photos = _photos(_frames(plan))
        return await asyncio.gather(*(_session(server, photos, side) for _ in range(2)))

    with Server(options, binary) as server:
        asyncio.run(both(server))
        rates = [found["whole_frames_per_second"] for found in asyncio.run(both(server))]
    detail = " and ".join(f"{rate:.1f}" for rate in rates) + " frames/s at the same time"
    return check("two workers share the device", len(rates) == 2, detail)
