"""The client without `async`."""

from __future__ import annotations

import inspect
import json
import threading
from pathlib import Path

import pytest

import pointstream
from pointstream import Ack, Progress, Result, SocketOptions, sync
from real_server import Server, pictures

SMALL: pointstream.SessionParameters = {"process_res": 56}


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [
        (sync.Client, pointstream.Client),
        (sync.Session, pointstream.Session),
        (sync, pointstream),
    ],
)
def test_names_and_parameters_are_the_same(blocking: object, asynchronous: object) -> None:
    names = sync.__all__ if blocking is sync else public(asynchronous)
    assert blocking is sync or public(blocking) == names
    for name in names:
        mine, other = getattr(blocking, name), getattr(asynchronous, name)
        if inspect.isfunction(other):
            parameters = [inspect.signature(one).parameters for one in (mine, other)]
            assert parameters[0] == parameters[1], name


def public(kind: object) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_photos_become_a_cloud(flat: Server) -> None:
    made = sync.reconstruct(pictures(3), url=flat.url, **SMALL)
    assert len(made.cloud()) == made.metadata["num_points"] > 0
    with pytest.raises(pointstream.ImageRefusedError):
        sync.reconstruct([b"no image"], url=flat.url, **SMALL)


def test_a_session_is_used_step_by_step(flat: Server, tmp_path: Path) -> None:
    seen: list[pointstream.Event] = []
    options = SocketOptions(on_event=seen.append)
    with sync.Client(flat.url) as client, client.session(options=options, **SMALL) as session:
        assert client.info()["model"]["name"] == "flat"
        assert session.upload(pictures(1)[0]).image_count == 1
        answers = session.upload_many([*pictures(2)[1:], b"no image"])
        assert [type(one) for one in answers] == [Ack, pointstream.ImageRefusedError]
        update = session.generate()
        assert len(session.cloud) == update.metadata["num_points"]
        assert len(session.map().frames) == 2
        assert session.finalize().kind == "complete"
        assert session.state()["status"] == "completed"
        session.reopen()
        assert len(session.images()) == 2 and session.thumbnail(0)
        path = session.download(tmp_path / "scene.json")
        assert json.loads(path.read_text())["type"] == "complete"
        with session.rerun(num_max_points=10) as again:
            assert again.finalize().metadata["num_points"] == 10
        identifier = session.id
        identifiers = [one["session_id"] for one in client.sessions()["sessions"]]
        assert identifier in identifiers and not session.cancel()
    assert any(isinstance(event, Progress) for event in seen)
    with sync.Client(flat.url) as client, pytest.raises(pointstream.SessionNotFoundError):
        client.attach(identifier).__enter__()
    with pytest.raises(pointstream.ClosedError):
        client.info()


def test_another_thread_reads_events_and_cancels(slow: Server) -> None:
    with sync.Client(slow.url) as client, client.session(**SMALL) as session:
        session.upload_many(pictures(6))
        events = session.events()

        def cancel() -> None:
            for event in events:
                if isinstance(event, Progress) and event.stage == "inference":
                    session.cancel()
                    return

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(pointstream.RequestCancelledError):
            session.generate()
        thread.join()


def test_events_end_with_the_session(flat: Server) -> None:
    with sync.Client(flat.url) as client:
        with client.session(**SMALL) as session:
            events = session.events()
            session.upload_many(pictures(2))
            session.generate()
        found = list(events)
    assert isinstance(found[0], Ack) and isinstance(found[-1], Result)


def test_threads_end_with_the_client(flat: Server) -> None:
    before = threading.active_count()
    with sync.Client(flat.url) as client:
        # Not left before its client.
        client.session(**SMALL).__enter__()
        assert threading.active_count() > before
    assert threading.active_count() == before
