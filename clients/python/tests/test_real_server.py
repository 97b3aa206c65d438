"""The client with the real server."""

from __future__ import annotations

import asyncio
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pointstream
from pointstream import (
    Client,
    ClientOptions,
    Image,
    ImageRefusedError,
    KnownCamera,
    Progress,
    Result,
    Retry,
    SocketOptions,
    Webhook,
    webhooks,
)
from real_server import PATIENCE, Server, names, photo, pictures, run_program

SMALL: pointstream.SessionParameters = {"process_res": 56}


def test_photos_become_a_cloud_and_files(flat: Server, tmp_path: Path) -> None:
    paths = []
    for level in range(3):
        paths.append(tmp_path / f"{level}.png")
        paths[-1].write_bytes(photo(level))
    seen: list[pointstream.Event] = []
    work = pointstream.reconstruct(
        paths, url=flat.url, format="ply", on_event=seen.append, process_res=56
    )
    made = asyncio.run(work)
    assert made.data.startswith(b"ply\n") and made.format == "ply"
    assert made.save(tmp_path / "scene.ply").read_bytes() == made.data
    assert made.quality.verdict in ("good", "partial")
    assert made.metadata["num_points"] == len(made.cloud()) > 0
    assert [camera.name for camera in made.cloud().cameras] == ["0.png", "1.png", "2.png"]
    assert any(isinstance(event, Progress) for event in seen)


def test_a_photo_that_cannot_be_used_is_named(flat: Server) -> None:
    images = [*pictures(1), Image(b"no image", "b.jpg")]
    with pytest.raises(ImageRefusedError, match=r"\[invalid_image\]") as caught:
        asyncio.run(pointstream.reconstruct(images, url=flat.url, **SMALL))
    assert caught.value.filename == "b.jpg"


def test_cameras_see_points_at_their_pixels(extending: Server) -> None:
    """Of each point the file for NumPy tells the pixel from which it was computed."""

    async def run() -> None:
        async with Client(extending.url) as client, client.session(**SMALL) as session:
            await session.upload_many(pictures(4))
            cloud = (await session.finalize()).cloud()
            arrays = np.load(io.BytesIO(await session.result("npz")))
        frames, pixels = arrays["points"].T
        rows, columns = np.divmod(pixels, arrays["depth"].shape[2])
        assert len(cloud.cameras) == 4 and len(frames) == len(cloud)
        for index, camera in enumerate(cloud.cameras):
            mine = frames == index
            found, depths = camera.project(cloud.positions[mine])
            expected = np.stack([columns[mine], rows[mine]], axis=1)
            assert np.abs(found - expected).max() < 0.01
            # The unit is that of GLB coordinates.
            scale = np.cbrt(np.linalg.det(arrays["world_to_glb"][:3, :3]))
            seen = arrays["depth"][index].ravel()[pixels[mine]]
            assert np.allclose(depths, scale * seen, rtol=1e-4)

    asyncio.run(run())


@pytest.mark.parametrize("binary", [True, False])
def test_both_kinds_of_messages_carry_the_same(flat: Server, binary: bool) -> None:
    async def run() -> Result:
        options = SocketOptions(binary=binary, deltas="cumulative")
        async with Client(flat.url) as client, client.session(options=options, **SMALL) as session:
            await session.upload_many(pictures(2))
            result = await session.generate(incremental=False)
            assert result.glb == await session.result()
            assert result.metadata["glb_size_bytes"] == len(result.glb)
            return result

    assert asyncio.run(run()).kind == "complete"


def test_a_session_is_reopened_and_run_again(flat: Server) -> None:
    async def run() -> None:
        async with Client(flat.url) as client, client.session(**SMALL) as session:
            with pytest.raises(pointstream.StateError, match="no_images"):
                await session.generate()
            await session.upload_many(pictures(2))
            await session.finalize()
            with pytest.raises(pointstream.SessionCompletedError, match="reopen"):
                await session.generate()
            await session.reopen()
            assert (await session.upload(Image(photo(5), "5.png"))).image_count == 3
            assert (await session.thumbnail(2)).startswith(b"\xff\xd8")
            assert await session.image(2) == photo(5)
            assert await session.watch_token() is None, "this server asks nobody for a token"
            assert len((await session.map()).frames) == 2
            async with session.rerun(num_max_points=100) as again:
                assert names(await again.images()) == ["0.png", "1.png", "5.png"]
                assert (await again.finalize()).metadata["num_points"] == 100
                identifier = again.id
            with pytest.raises(pointstream.SessionNotFoundError):
                async with client.attach(identifier):
                    pass

    asyncio.run(run())


def test_errors_say_what_would_work(flat: Server, tmp_path: Path) -> None:
    async def run() -> None:
        async with Client(flat.url) as client:
            with pytest.raises(pointstream.InvalidRequestError, match="max_images"):
                async with client.session(max_image=5):  # type: ignore[call-arg]
                    pass
            async with client.session(max_images=1, **SMALL) as session:
                await session.upload_many(pictures(1))
                with pytest.raises(ImageRefusedError, match="too_many_images"):
                    await session.upload(pictures(1)[0])
                with pytest.raises(pointstream.StateError, match="no_result"):
                    await session.download(tmp_path / "scene.glb")
                assert list(tmp_path.iterdir()) == []
                with pytest.raises(ImageRefusedError, match="image_too_large"):
                    await session.upload(bytes(33 << 20))
                await session.finalize()
                path = await session.download(tmp_path / "scene.colmap.zip")
                assert path.read_bytes().startswith(b"PK")
            with pytest.raises(pointstream.ClosedError):
                await session.upload(pictures(1)[0])
        with pytest.raises(pointstream.UnreachableError, match="is the server running"):
            async with Client("http://127.0.0.1:9"):
                pass

    asyncio.run(run())


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    limits = ("--scopes", "create,use", "--max-sessions", "1")
    token = run_program("token", "--tokens-file", str(tokens), "add", "me", *limits)
    server = Server("flat", "--auth", "tokens", "--tokens-file", str(tokens))

    async def run() -> None:
        with pytest.raises(pointstream.AuthenticationError, match="token add"):
            async with Client(server.url) as client, client.session(**SMALL):
                pass
        options = ClientOptions(retry=Retry(1, 0.05, 0.1))
        async with (
            Client(server.url, token, options=options) as client,
            client.session(**SMALL) as session,
        ):
            assert session.token not in (None, token)
            await session.upload_many(pictures(2))
            assert (await session.finalize()).image_count == 2
            with pytest.raises(pointstream.BusyError) as caught:
                async with client.session(**SMALL):
                    pass
            assert caught.value.status == 429 and caught.value.retry_after is not None

    try:
        asyncio.run(run())
    finally:
        server.stop()


def test_known_cameras_are_kept(tmp_path: Path) -> None:
    server = Server("posed")
    intrinsics = [[60.0, 0, 27.5], [0, 60.0, 20.5], [0, 0, 1]]

    async def run() -> None:
        async with Client(server.url) as client, client.session(**SMALL) as session:
            for level in range(3):
                extrinsics = np.eye(4)
                extrinsics[0, 3] = -level
                known = KnownCamera(intrinsics, extrinsics)
                await session.upload(Image(photo(level), camera=known))
            result = await session.finalize()
            assert result.metadata["known_cameras"] is True
            centers = np.array([camera.center for camera in result.cloud().cameras])
            assert np.allclose(np.diff(centers, axis=0), [[1, 0, 0]] * 2, atol=1e-4)

    try:
        asyncio.run(run())
    finally:
        server.stop()


def test_webhooks_are_verified(flat: Server) -> None:
    received: list[tuple[dict[str, str], bytes]] = []
    came = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()
            came.set()

        def log_message(self, *_: Any) -> None:
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    hook = Webhook(f"http://127.0.0.1:{receiver.server_port}/hook", ["result.made"])

    async def run() -> tuple[str, str]:
        async with (
            Client(flat.url) as client,
            client.session(webhook=hook, **SMALL) as session,
        ):
            await session.upload_many(pictures(2))
            await session.finalize()
            assert await asyncio.to_thread(came.wait, PATIENCE)
            assert session.webhook_secret is not None
            return session.id, session.webhook_secret

    try:
        identifier, secret = asyncio.run(run())
    finally:
        receiver.shutdown()
        receiver.server_close()
    headers, body = received[0]
    message = webhooks.verify(secret, headers, body)
    assert message.type == "result.made" and message.data["session_id"] == identifier
    with pytest.raises(pointstream.WebhookError):
        webhooks.verify(secret, headers, body + b" ")
