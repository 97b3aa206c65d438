"""What a client keeps when connections, servers or its own patience end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import pointstream
from pointstream import (
    Ack,
    Client,
    ClientOptions,
    Disconnected,
    Image,
    Progress,
    Retry,
    SocketOptions,
)
from real_server import PATIENCE, Relay, Server, names, photo, pictures

QUICK = ClientOptions(retry=Retry(8, 0.05, 2))
SMALL: pointstream.SessionParameters = {"process_res": 56}


def test_uploads_survive_lost_connections(flat: Server) -> None:
    async def run() -> None:
        lost: list[Disconnected] = []

        def on_event(event: pointstream.Event) -> None:
            if isinstance(event, Disconnected):
                lost.append(event)

        async with (
            Relay(flat.url, keep_acks=5) as relay,
            Client(relay.url, options=QUICK) as client,
        ):
            options = SocketOptions(on_event=on_event)
            async with client.session(options=options, **SMALL) as session:
                answers = await session.upload_many(pictures(24))
                assert all(isinstance(answer, Ack) for answer in answers)
                # Each image is there once, and in its place.
                assert names(await session.images()) == [f"{level}.png" for level in range(24)]
            assert relay.cuts == len(lost) >= 1

    asyncio.run(run())


def test_a_request_survives_a_lost_connection(slow: Server) -> None:
    async def run() -> None:
        def on_event(event: pointstream.Event) -> None:
            if isinstance(event, Progress) and event.stage == "inference" and not relay.cuts:
                relay.cut()

        async with Relay(slow.url) as relay, Client(relay.url, options=QUICK) as client:
            options = SocketOptions(on_event=on_event)
            async with client.session(options=options, **SMALL) as session:
                await session.upload_many(pictures(2))
                result = await session.generate()
                # It was made once.
                assert result.number == 1 and relay.cuts == 1
                assert len(session.cloud) == result.metadata["num_points"]

    asyncio.run(run())


def test_results_that_are_too_large_for_a_message_are_fetched(flat: Server) -> None:
    async def run() -> None:
        options = SocketOptions(max_message_bytes=20_000)
        async with (
            Client(flat.url, options=QUICK) as client,
            client.session(options=options, **SMALL) as session,
        ):
            await session.upload_many(pictures(3))
            with pytest.raises(pointstream.ResultTooLargeError, match="max_message_bytes"):
                await session.generate()
            assert len(session.cloud) == 0
            final = await session.finalize()
            assert len(final.glb) > 20_000
            assert len(final.cloud()) == final.metadata["num_points"]

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_a_session_survives_a_killed_server(tmp_path: Path) -> None:
    async def run(server: Server) -> Server:
        async with (
            Client(server.url, options=QUICK) as client,
            client.session(**SMALL) as session,
        ):
            await session.upload_many(pictures(3))
            server.kill()
            port = int(server.url.rpartition(":")[2])
            start = asyncio.to_thread(Server, "flat", port=port, data=tmp_path / "data")
            uploads = session.upload_many(pictures(6)[3:])
            new, answers = await asyncio.gather(start, uploads)
            assert [answer.image_count for answer in answers] == [4, 5, 6]
            assert (await session.finalize()).image_count == 6
            return new

    first = Server("flat", data=tmp_path / "data")
    second = None
    try:
        second = asyncio.run(asyncio.wait_for(run(first), PATIENCE))
    finally:
        for server in filter(None, (first, second)):
            server.stop()


def test_a_request_is_cancelled(slow: Server) -> None:
    async def run() -> None:
        async with Client(slow.url) as client, client.session(**SMALL) as session:
            await session.upload_many(pictures(6))
            events = session.events()
            request = asyncio.create_task(session.generate())
            async for event in events:
                if isinstance(event, Progress) and event.stage == "inference":
                    break
            assert await session.cancel()
            with pytest.raises(pointstream.RequestCancelledError):
                await request
            assert (await session.state())["requests"] == 0
            assert not await session.cancel()
            # Who stops to wait need not pay for the rest.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(session.generate(), 0.3)
            while (await session.state())["requests"]:
                await asyncio.sleep(0.05)
            assert (await session.upload(Image(photo(9), "9.png"))).image_count == 7

    asyncio.run(run())
