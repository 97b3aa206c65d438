"""Updates that append, from the real server, against whole results."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from pointstream import (
    Client,
    ClientOptions,
    Cloud,
    GlbError,
    Image,
    Result,
    Retry,
    Session,
    SessionParameters,
    SocketOptions,
)
from real_server import PATIENCE, Relay, Server, photo

# Six frames are the first window; later ones are placed in the map.
MAP: SessionParameters = {"window": 6, "process_res": 56, "finalize_mode": "refine"}
QUICK = ClientOptions(retry=Retry(6, 0.05, 1))


async def upload(session: Session, levels: range) -> None:
    for level in levels:
        await session.upload(Image(photo(level), f"{level}.png"))


def rows(cloud: Cloud) -> NDArray[np.float64]:
    """Points with their colours, in an order that does not depend on theirs."""
    table = np.c_[cloud.positions.astype(np.float64).round(4), cloud.colors]
    return table[np.lexsort(table.T)]


def assert_same(grown: Cloud, whole: Cloud) -> None:
    assert len(grown) == len(whole) > 0
    # Rounding may put a coordinate into the next step.
    assert np.allclose(rows(grown), rows(whole), atol=2e-4)
    assert [one.name for one in grown.cameras] == [one.name for one in whole.cameras]
    for mine, other in zip(grown.cameras, whole.cameras, strict=True):
        assert np.allclose(mine.camera_to_glb, other.camera_to_glb, atol=1e-4)
        assert np.allclose(mine.intrinsics, other.intrinsics)


async def both(url: str, parameters: SessionParameters) -> list[Result]:
    """Grow a map step by step; compare what updates make with whole results."""
    updates = []
    whole_options = SocketOptions(deltas="cumulative", binary=False)
    async with (
        Client(url) as client,
        client.session(**parameters) as growing,
        client.attach(growing.id, options=whole_options, resume=False) as whole,
    ):
        for levels in (range(4), range(4, 9), range(9, 10), range(10, 15), range(15, 23)):
            await upload(growing, levels)
            updates.append(await growing.generate())
            other = await whole.generate()
            assert updates[-1].is_update and not other.is_update
            assert_same(growing.cloud, other.cloud())
    return updates


def test_updates_equal_whole_results(extending: Server) -> None:
    updates = asyncio.run(both(extending.url, MAP))
    assert [one.metadata["append"]["reset"] for one in updates] == [True, True, False, False, False]


def test_points_above_a_limit_are_dropped(extending: Server) -> None:
    updates = asyncio.run(both(extending.url, {**MAP, "num_max_points": 2500}))
    assert any(one.metadata["append"]["kept"] for one in updates)


def test_frames_that_move_are_corrected(adjusting: Server) -> None:
    async def run() -> int:
        moved = 0
        async with Client(adjusting.url) as client, client.session(**MAP) as session:
            for levels in (range(7), range(7, 9), range(9, 15), range(15, 23)):
                await upload(session, levels)
                moved += len((await session.generate()).metadata["append"]["corrections"])
            # The map is adjusted beside requests. When nothing moves any more, all are the same.
            while corrections := (await session.generate()).metadata["append"]["corrections"]:
                moved += len(corrections)
            assert_same(session.cloud, (await session.generate(incremental=False)).cloud())
        return moved

    assert asyncio.run(asyncio.wait_for(run(), PATIENCE)) > 0


def test_a_quantised_cloud_is_the_same(extending: Server) -> None:
    async def run() -> None:
        async with Client(extending.url) as client, client.session(**MAP) as plain:
            await upload(plain, range(9))
            await plain.generate()
            whole = (await plain.generate(incremental=False)).cloud()
            # Without the points that other images contradict.
            final = (await plain.finalize()).cloud()
            async with plain.rerun(glb_compression="quantized") as rerun:
                await rerun.generate()
                grown = rerun.cloud
                rounded = (await rerun.finalize()).cloud()
                assert_close(rounded, final)
            assert_close(grown, whole)

    def assert_close(one: Cloud, other: Cloud) -> None:
        step = np.ptp(other.positions, axis=0).max() / 65534
        ordered = [cloud.positions[np.lexsort(cloud.colors.T)] for cloud in (one, other)]
        assert len(ordered[0]) == len(ordered[1])
        for axis in range(3):
            mine, theirs = (np.sort(points[:, axis]) for points in ordered)
            assert np.abs(mine - theirs).max() <= step

    asyncio.run(run())


def test_meshopt_is_refused_with_advice(flat: Server) -> None:
    async def run() -> None:
        async with (
            Client(flat.url) as client,
            client.session(process_res=56, glb_compression="meshopt") as session,
        ):
            await upload(session, range(2))
            result = await session.finalize()
            with pytest.raises(GlbError, match="'none' or 'quantized'"):
                result.cloud()

    asyncio.run(run())


def test_a_lost_connection_continues_the_map(extending: Server) -> None:
    async def run() -> None:
        async with (
            Relay(extending.url) as relay,
            Client(relay.url, options=QUICK) as client,
            client.session(**MAP) as session,
        ):
            for levels in (range(7), range(7, 9)):
                await upload(session, levels)
                await session.generate()
            before = session.cloud.number
            relay.cut()
            await upload(session, range(9, 11))
            update = await session.generate()
            # It builds on what the client had, so the server took its word for `since`.
            append = update.metadata["append"]
            assert append["reset"] is False and len(append["frames"]) == 2
            assert session.cloud.number > before
            assert_same(session.cloud, (await session.generate(incremental=False)).cloud())

    asyncio.run(run())


def test_another_program_continues_the_map(extending: Server) -> None:
    async def run() -> None:
        async with Client(extending.url) as client:
            async with client.session(**MAP, keep=True) as first:
                await upload(first, range(8))
                await first.generate()
                await upload(first, range(8, 9))
                await first.generate()
            async with client.attach(first.id, cloud=first.cloud, keep=False) as second:
                await upload(second, range(9, 10))
                assert (await second.generate()).metadata["append"]["reset"] is False
                assert_same(second.cloud, (await second.generate(incremental=False)).cloud())

    asyncio.run(run())
