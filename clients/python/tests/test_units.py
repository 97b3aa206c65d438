"""Parts of the client by themselves."""

from __future__ import annotations

import asyncio
import json
import struct

import numpy as np
import pytest

import pointstream
import tiny_glb
from pointstream import Client, ClientOptions, Cloud, Disconnected, KnownCamera, Progress, Retry
from pointstream.cloud import Camera
from pointstream.errors import server_error
from pointstream.events import Result
from pointstream.glb import Glb
from pointstream.subscription import LONGEST, MOST_RESULTS, Subscription
from pointstream.wire import decode

POINTS = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
COLORS = [[1, 2, 3], [4, 5, 6]]


def test_delays_double_within_limits() -> None:
    retry = Retry(attempts=4, first=1.0, longest=3.0)
    for attempt, longest in ((1, 1.0), (2, 2.0), (3, 3.0), (4, 3.0)):
        delay = retry.delay(attempt)
        assert delay is not None and longest / 2 <= delay <= longest
    assert retry.delay(5) is None
    assert retry.delay(1, 2.5) == 2.5
    # Longer than it may wait.
    assert retry.delay(1, 3.5) is None
    with pytest.raises(ValueError):
        Retry(first=0)


def test_a_whole_file_is_read() -> None:
    camera = {
        "name": "a.jpg",
        "camera": 0,
        "translation": [1.0, 2.0, 3.0],
        # A quarter turn about z.
        "rotation": [0.0, 0.0, 0.5**0.5, 0.5**0.5],
        "extras": {"id": 7, "intrinsics": [[9, 0, 1], [0, 8, 2], [0, 0, 1]]},
    }
    cloud = Cloud.from_glb(tiny_glb.whole(POINTS, COLORS, [camera]))
    assert cloud.positions.tolist() == POINTS and cloud.colors.tolist() == COLORS
    (found,) = cloud.cameras
    assert (found.number, found.name, found.center.tolist()) == (7, "a.jpg", [1, 2, 3])
    # Right of the camera is up, its down is to the right, and it looks along -z.
    expected = [[0, 1, 0], [1, 0, 0], [0, 0, -1]]
    assert np.allclose(found.camera_to_glb[:3, :3], expected)
    assert np.allclose(found.extrinsics @ found.camera_to_glb, np.eye(4))


def test_an_empty_cloud_has_its_shapes() -> None:
    for cloud in (Cloud(), Cloud.from_glb(tiny_glb.whole([], [], []))):
        assert cloud.positions.shape == (0, 3) and cloud.colors.shape == (0, 3)
        assert len(cloud) == 0 and cloud.cameras == []


def test_distortion_and_depth_are_projected() -> None:
    intrinsics = np.array([[100.0, 0, 50], [0, 200.0, 40], [0, 0, 1]])
    camera = Camera(0, "a", np.eye(4), intrinsics, np.array([0.1, 0.01]))
    pixels, depths = camera.project(np.array([[1.0, 0, 2], [0, 0, -1]]))
    factor = 1 + 0.1 * 0.25 + 0.01 * 0.0625
    assert np.allclose(pixels[0], [50 + 100 * 0.5 * factor, 40])
    assert depths.tolist() == [2, -1] and np.isnan(pixels[1]).all()


@pytest.mark.parametrize("length", [0, 3, 11, 20, 40, 200, -1])
def test_files_that_are_cut_are_refused(length: int) -> None:
    whole = tiny_glb.whole(POINTS, COLORS, [])
    with pytest.raises(pointstream.GlbError):
        Cloud.from_glb(whole[:length])


def test_points_beyond_the_end_are_refused() -> None:
    whole = tiny_glb.whole(POINTS, COLORS, [])
    with pytest.raises(pointstream.GlbError, match="damaged"):
        Cloud.from_glb(whole.replace(b'"count": 2', b'"count": 9'))


def test_files_of_updates_are_no_whole_results() -> None:
    update = tiny_glb.update({0: (POINTS, COLORS)})
    assert len(Glb(update).nodes) == 1
    with pytest.raises(pointstream.GlbError, match="update"):
        Cloud.from_glb(update)


def test_an_update_that_does_not_fit_changes_nothing() -> None:
    cloud = Cloud.from_glb(tiny_glb.whole(POINTS, COLORS, []))
    append = {"reset": True, "kept": [{"frame": 4, "points": 1}], "number": 1}
    with pytest.raises(pointstream.InvalidResponseError):
        cloud.apply(append, tiny_glb.update({}))
    assert cloud.positions.tolist() == POINTS and cloud.number is None


@pytest.mark.parametrize(
    "received",
    [
        *("", "[]", "{}", '{"type": 1}', '{"type": "delta", "glb_base64": "!"}'),
        *(b"", b"PSB", b"PSX\1\2\0\0\0{}", b"PSB\2\2\0\0\0{}", b"PSB\1\xff\0\0\0{}"),
    ],
)
def test_what_is_no_message_is_refused(received: str | bytes) -> None:
    with pytest.raises(pointstream.InvalidResponseError):
        decode(received)


def test_binary_headers_may_be_padded() -> None:
    header = json.dumps({"type": "delta"}).encode() + b"   "
    message = decode(struct.pack("<3sBI", b"PSB", 1, len(header)) + header + b"glb")
    assert message == {"type": "delta", "glb": b"glb"}


def test_slow_readers_of_events_miss_progress_first() -> None:
    async def run() -> None:
        events = Subscription()
        results = [Result("delta", 1, {}, b"", None, number) for number in range(6)]
        for number in range(LONGEST):
            events.add(Progress("inference", 0.5, str(number), None))
        for result in results:
            events.add(result)
        events.end()
        got = [event async for event in events]
        assert len(got) == LONGEST
        assert got[-MOST_RESULTS:] == results[-MOST_RESULTS:]
        assert events.missed == len(results)

    asyncio.run(run())


def test_waiting_readers_get_the_error() -> None:
    async def run() -> None:
        events = Subscription()
        events.end(pointstream.UnreachableError("gone"))
        with pytest.raises(pointstream.UnreachableError):
            await anext(events)
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    asyncio.run(run())


def test_errors_of_a_code_are_of_its_class() -> None:
    error = server_error("too large", code="image_too_large", filename="a.jpg")
    assert isinstance(error, pointstream.ImageRefusedError) and error.filename == "a.jpg"
    assert str(error).startswith("too large [image_too_large]; ")
    # A proxy gives no code.
    assert isinstance(server_error("?", status=503), pointstream.BusyError)
    assert type(server_error("?", code="new", status=500)) is pointstream.ServerError


def test_known_cameras_are_checked_before_they_are_sent() -> None:
    for intrinsics, extrinsics in ((np.eye(4), np.eye(4)), (np.eye(3), np.full((4, 4), np.nan))):
        with pytest.raises(ValueError, match="finite matrix"):
            KnownCamera(intrinsics, extrinsics).fields()
    for deviation in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="position_deviation"):
            KnownCamera(np.eye(3), np.eye(4), position_deviation=deviation).fields()
    fields = KnownCamera(np.eye(3), np.eye(4), rotation_deviation=2).fields()
    assert fields["rotation_deviation"] == 2.0
    assert "position_deviation" not in fields


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://a", "http://", "http://me:secret@a"])
def test_addresses_are_checked(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        Client(url)
    assert "secret" not in str(caught.value)


def test_options_that_do_not_fit_are_refused() -> None:
    client = Client("http://127.0.0.1:9")
    append = pointstream.SocketOptions(deltas="append")
    for parameters in ({"voxel_size": 0.5}, {"glb_compression": "meshopt"}):
        with pytest.raises(ValueError, match="cumulative"):
            client.session(options=append, **parameters)
        client.session(**parameters)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    seen: list[pointstream.Event] = []

    async def run() -> None:
        options = ClientOptions(retry=Retry(2, 0.01, 0.02))
        client = Client("http://127.0.0.1:9", options=options)
        socket = pointstream.SocketOptions(on_event=seen.append)
        with pytest.raises(pointstream.ConnectionLostError, match="attach"):
            async with client.attach("some", options=socket):
                pass

    asyncio.run(run())
    assert [type(event) for event in seen] == [Disconnected, Disconnected]


def test_the_protocol_is_that_of_the_documents() -> None:
    from real_server import REPOSITORY

    text = (REPOSITORY / "docs/protocol.md").read_text()
    assert f"version `{pointstream.PROTOCOL_VERSION}`" in text
    for code in _codes(text):
        assert code == "internal" or type(server_error("", code=code)) is not (
            pointstream.ServerError
        ), f"{code} has no class"


def _codes(text: str) -> list[str]:
    section = text.split("### Error codes")[1].split("### Close codes")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    return [row.split("`")[1] for row in rows]
