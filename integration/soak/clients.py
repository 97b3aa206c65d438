"""The kinds of clients. Each round of one begins with nothing and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections.abc import Awaitable, Callable

from .client import Client
from .content import bad_messages, form, image_message
from .wire import CutError

FORMATS = (
    "glb",
    "ply",
    "colmap",
    "colmap_original",
    "npz",
    "nerfstudio",
    "nerfstudio_original",
    "las",
    "laz",
    "e57",
    "xyz",
    "csv",
    "mesh_glb",
    "mesh_ply",
    "mesh_obj",
    "html",
    "json",
)
# Those that every result has.
OF_ALL_RESULTS = tuple(name for name in FORMATS if not name.startswith("mesh_"))
DELETED = 4410


async def streamer(client: Client) -> None:
    """Streams images with whole results in between, fetches all formats, and finalizes."""
    session = await client.create(max_images=30)
    flag = "true" if client.dice.random() < 0.5 else "false"
    socket = await client.connect(session, f"binary={flag}")
    images = 0
    for _ in range(client.dice.randint(1, 3)):
        count = client.dice.randint(2, 4)
        await client.upload(socket, images, count)
        images += count
        client.expect(await socket.request("generate"), "delta")
        client.expect(await socket.request("map"), "poses")
        await client.pause(1)
    await client.fetch(session, FORMATS)
    client.expect(await socket.request("finalize"), "complete")
    client.expect(await socket.request("generate"), "error")
    await client.rest.send("GET", f"/ws/session/{session}/images/0/thumbnail")
    await socket.close()
    await client.delete(session)


async def appender(client: Client) -> None:
    """Takes updates that append; disconnects in the middle of requests and resumes."""
    session = await client.create(max_images=60, window=6, finalize_mode="refine")
    socket = await client.connect(session, "deltas=append&binary=true")
    images, since = 0, 0
    for _ in range(client.dice.randint(3, 6)):
        await client.upload(socket, images, 3)
        images += 3
        socket.progress.clear()
        asked = asyncio.create_task(socket.request("generate"))
        if client.dice.random() < 0.5:
            answer = await asked
        else:
            # With progress the server has the request, so whoever resumes must get its answer.
            begun = asyncio.create_task(socket.progress.wait())
            await asyncio.wait([asked, begun], return_when=asyncio.FIRST_COMPLETED)
            begun.cancel()
            was_answered = asked.done() and not asked.exception()
            await (socket.cut() if client.dice.random() < 0.5 else socket.close())
            await asyncio.wait([asked])
            was_answered = was_answered or not asked.exception()
            query = f"deltas=append&binary=true&resume=true&since={since}"
            socket = await client.connect(session, query)
            answer = None if was_answered else await client.resumed(session, socket, images)
            if answer is None:
                continue
        client.expect(answer, "delta")
        if answer["type"] == "delta":
            since = answer["metadata"]["append"]["number"]
            await socket.received(since)
        await client.pause(1)
    client.expect(await socket.request("finalize"), "complete")
    await client.fetch(session, ("ply", "colmap"))
    await socket.close()
    await client.delete(session)


async def refused(client: Client) -> None:
    """Sends what must be refused; the connection and the session go on."""
    session = await client.create(max_images=2)
    socket = await client.connect(session)
    bad = bad_messages(client.photos.take(client.dice, 0))
    client.dice.shuffle(bad)
    for each in bad:
        client.expect(await socket.bad(each.message), "error")
    client.expect(await socket.request("generate"), "error")
    client.expect(await socket.ping(), "pong")
    await client.upload(socket, 0, 2)
    photo = client.photos.take(client.dice, 3)
    too_many = await socket.image(lambda name: image_message(photo, name, as_binary=True))
    client.expect(too_many, "error")
    await socket.close()
    await client.delete(session)
    await client.pause(5)


async def deleter(client: Client) -> None:
    """Ends its session while the model runs, or images are being stored."""
    session = await client.create()
    socket = await client.connect(session)
    await client.upload(socket, 0, 3)
    work = [asyncio.create_task(client.upload(socket, 3, 3))]
    if client.dice.random() < 0.7:
        work.append(asyncio.create_task(socket.request("generate")))
    await client.pause(client.dice.choice([0.0, 0.1, 1.0]))
    await client.delete(session)
    code = await socket.ended()
    if code != DELETED:
        client.tally.surprise("close code", f"{code} after a session was deleted")
    await asyncio.gather(*work, return_exceptions=True)
    await socket.close()
    status, _, body = await client.rest.send("GET", f"/ws/session/{session}")
    client.status("a deleted session", status, 404, body)
    await client.pause(3)


async def cutter(client: Client) -> None:
    """Ends connections in the middle of a message, of a result and of a request."""
    session = await client.create()
    socket = await client.connect(session)
    await client.upload(socket, 0, 2)
    client.expect(await socket.request("generate"), "delta")
    # The head of a masked binary frame of 1 MB, and a tenth of it.
    head = b"\x82\xff" + (1_000_000).to_bytes(8, "big") + b"\0\0\0\0"
    socket.connection.transport.write(head + bytes(100_000))
    await client.pause(0.2)
    await socket.cut()
    host, port = client.rest.address.rsplit(":", 1)
    for path in (f"/ws/session/{session}/result", f"/ws/session/{session}/result?format=ply"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await asyncio.wait_for(reader.read(1000), 300)
        writer.transport.abort()
    _, writer = await asyncio.open_connection(host, int(port))
    body, kind = form([("a.jpg", client.photos.take(client.dice, 0).data)])
    begin = f"POST /reconstruct HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
    writer.write(begin.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:500])
    await client.pause(0.2)
    writer.transport.abort()
    await client.delete(session)
    await client.pause(3)


async def idler(client: Client) -> None:
    """Opens sockets, is silent for long, and still gets an answer."""
    session = await client.create()
    sockets = [await client.connect(session) for _ in range(5)]
    await client.pause(90)
    for socket in sockets:
        client.expect(await socket.ping(), "pong")
    for socket in sockets[1:]:
        await (socket.cut() if client.dice.random() < 0.5 else socket.close())
    await sockets[0].close()
    await client.delete(session)


async def poster(client: Client) -> None:
    """Reconstructs all at once: at once, later, and with an image that cannot be used."""
    count = client.dice.randint(2, 4)
    files = [(f"{i}.jpg", client.photos.take(client.dice, i).data) for i in range(count)]
    way = client.dice.choice(["now", "later", "unusable"])
    if way == "unusable":
        files[1] = ("bad.jpg", b"no image")
    body, kind = form(files)
    query = urllib.parse.urlencode(
        {
            "process_res": client.side,
            "format": client.dice.choice(OF_ALL_RESULTS),
            "async": way == "later",
        }
    )
    headers = {"Content-Type": kind}
    status, found, answer = await client.rest.send("POST", f"/reconstruct?{query}", body, headers)
    expected = {"now": 200, "later": 202, "unusable": 422}[way]
    client.status(f"POST /reconstruct, {way}", status, expected, answer)
    if status == 202:
        path = found["Location"]
        session = path.rstrip("/").rsplit("/", 1)[-1]
        for _ in range(600):
            state = await client.rest.json("GET", f"/ws/session/{session}")
            if state["status"] in ("completed", "error"):
                break
            await asyncio.sleep(0.5)
        if state["status"] != "completed":
            client.tally.surprise("status of a session", str(state["error_message"]))
        await client.fetch(session, ("glb", "nerfstudio"))
        await client.delete(session)
    await client.pause(5)


KINDS: dict[str, tuple[int, Callable[[Client], Awaitable[None]]]] = {
    "streamer": (2, streamer),
    "appender": (2, appender),
    "refused": (1, refused),
    "deleter": (1, deleter),
    "cutter": (1, cutter),
    "idler": (2, idler),
    "poster": (1, poster),
}
"""How many clients there are of each kind, and what they do."""


async def repeat(name: str, client: Client, until: float) -> None:
    """Rounds of one client until the time is over."""
    play = KINDS[name][1]
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        try:
            await play(client)
            client.tally.done[name] += 1
        except CutError:
            client.tally.surprise("socket ended", name)
        except (OSError, AssertionError, TimeoutError, asyncio.TimeoutError) as error:
            client.tally.surprise(type(error).__name__, f"{name}: {error}")
        # What a round that failed has left. It has been counted; a second failure says no more.
        for session in list(client.sessions):
            with contextlib.suppress(OSError, AssertionError):
                await client.delete(session)
