"""Plays the scenarios of clients/conformance with the asynchronous client."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pointstream
from pointstream import (
    Ack,
    Client,
    ClientOptions,
    Image,
    KnownCamera,
    Poses,
    Progress,
    Result,
    Retry,
    Session,
    SocketOptions,
    Webhook,
)
from scripted import Scenario, ScriptedServer

FOLDER = Path(__file__).parents[2] / "conformance"
# Seconds after which a scenario hangs.
PATIENCE = 30
KINDS = {
    "authentication": pointstream.AuthenticationError,
    "busy": pointstream.BusyError,
    "cancelled": pointstream.RequestCancelledError,
    "connection_lost": pointstream.ConnectionLostError,
    "image_refused": pointstream.ImageRefusedError,
    "incompatible_server": pointstream.IncompatibleServerError,
    "invalid_request": pointstream.InvalidRequestError,
    "invalid_response": pointstream.InvalidResponseError,
    "reconstruction": pointstream.ReconstructionError,
    "server": pointstream.ServerError,
    "session_ended": pointstream.SessionEndedError,
    "session_not_found": pointstream.SessionNotFoundError,
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    document = json.loads(path.read_text())
    asyncio.run(asyncio.wait_for(play(document), PATIENCE))


def test_every_kind_of_step_is_tried() -> None:
    documents = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
    steps = [step for one in documents for socket in one["sockets"] for step in socket["steps"]]
    kinds = {next(iter(step)) for step in steps}
    assert kinds == {"send", "send_binary", "expect", "quiet", "close", "drop"}
    assert len(documents) >= 30


async def play(document: dict[str, Any]) -> None:
    async with ScriptedServer(document) as server:
        await Caller(document["client"], server.scenario).use(server.url)
        # The server sees the end of a connection a moment later.
        await until(lambda: server.scenario.finished == len(server.scenario.sockets))
        server.scenario.check_end()


async def until(reached: Any) -> None:
    for _ in range(100):
        if reached():
            return
        await asyncio.sleep(0.02)


class Caller:
    """Makes the calls of a scenario."""

    def __init__(self, script: dict[str, Any], scenario: Scenario) -> None:
        self.script = script
        self.scenario = scenario
        self.progressed = asyncio.Event()

    async def use(self, url: str) -> None:
        retry = Retry(self.script.get("retry", {}).get("attempts", 6), 0.02, 5)
        options = ClientOptions(timeout=10, retry=retry)
        opened = False
        try:
            async with (
                Client(url, self.script.get("token"), options=options) as client,
                self.open(client) as session,
            ):
                opened = True
                if "webhook_secret" in self.script:
                    assert session.webhook_secret == self.script["webhook_secret"]
                for call in self.script.get("calls", []):
                    await self.call(session, call)
        except pointstream.PointstreamError as error:
            if opened or "open_error" not in self.script:
                raise
            self.check_error(self.script["open_error"], error)
        else:
            assert "open_error" not in self.script, "opening the session must fail"

    def open(self, client: Client) -> Session:
        given = self.script.get("session", {}).get("options", {})
        settings = {"binary": False, "deltas": "cumulative", **given}
        options = SocketOptions(**settings, on_event=self.on_event)
        if "attach" in self.script:
            attach = self.script["attach"]
            return client.attach(attach["session_id"], token=attach.get("token"), options=options)
        session = self.script["session"]
        webhook = Webhook(**session["webhook"]) if "webhook" in session else None
        return client.session(
            webhook=webhook,
            options=options,
            keep=self.script.get("keep", False),
            **session.get("parameters", {}),
        )

    def on_event(self, event: pointstream.Event) -> None:
        if isinstance(event, Progress):
            self.progressed.set()

    async def call(self, session: Session, call: dict[str, Any]) -> None:
        try:
            answer = await self.answer(session, call)
        except pointstream.PointstreamError as error:
            if "error" not in call:
                raise
            self.check_error(call["error"], error)
        else:
            assert "error" not in call, f"{call} must fail"
            if "gives" in call:
                found = fields(answer)
                assert self.scenario.match(call["gives"], found), (call["gives"], found)

    async def answer(self, session: Session, call: dict[str, Any]) -> Any:
        if "cancel_after" in call:
            canceller = asyncio.create_task(self.cancel(session))
            try:
                return await self.answer(session, {"generate": call["generate"]})
            finally:
                await canceller
        if "upload" in call:
            return await session.upload(image(call["upload"]))
        if "upload_many" in call:
            return await session.upload_many(map(image, call["upload_many"]))
        if "generate" in call:
            return await session.generate(incremental=call["generate"]["incremental"])
        if "finalize" in call:
            return await session.finalize()
        if "map" in call:
            return await session.map()
        if "cloud" in call:
            return check_cloud(session.cloud, call["cloud"])
        if "together" in call:
            return await self.together(session, call["together"])
        raise AssertionError(f"unknown call {call}")

    async def cancel(self, session: Session) -> None:
        await self.progressed.wait()
        assert await session.cancel()

    async def together(self, session: Session, calls: list[dict[str, Any]]) -> None:
        tasks = []
        for call in calls:
            before = self.scenario.messages
            tasks.append(asyncio.create_task(self.call(session, call)))
            await until(lambda before=before: self.scenario.messages > before)
        await asyncio.gather(*tasks)

    def check_error(self, expected: dict[str, Any], error: pointstream.PointstreamError) -> None:
        expected = dict(expected)
        assert type(error) is KINDS[expected.pop("kind")], repr(error)
        for name, value in expected.items():
            assert getattr(error, name) == value, (name, error)
        if isinstance(error, pointstream.ServerError):
            # Says what the server said, the code, and what would work.
            assert error.message in str(error) and error.advice in str(error)


def image(given: dict[str, Any]) -> Image:
    camera = None
    if "intrinsics" in given:
        camera = KnownCamera(
            given["intrinsics"],
            np.array(given["extrinsics"]),
            given.get("position_deviation"),
            given.get("rotation_deviation"),
        )
    return Image(base64.b64decode(given["data_base64"]), given["name"], camera)


def fields(answer: Any) -> Any:
    if isinstance(answer, list):
        return [fields(one) for one in answer]
    if isinstance(answer, pointstream.ImageRefusedError):
        return {"error": {"kind": "image_refused", "code": answer.code}}
    if isinstance(answer, Ack):
        return {"image_count": answer.image_count, "image_path": answer.image_path}
    if isinstance(answer, Poses):
        return {"frames": answer.frames, "processed_size": list(answer.processed_size or ())}
    assert isinstance(answer, Result)
    return {
        "kind": answer.kind,
        "image_count": answer.image_count,
        "number": answer.number,
        "glb_base64": base64.b64encode(answer.glb).decode(),
        "verdict": answer.quality.verdict,
    }


def check_cloud(cloud: pointstream.Cloud, expected: dict[str, Any]) -> None:
    assert cloud.positions.dtype == np.float32 and cloud.colors.dtype == np.uint8
    assert cloud.positions.tolist() == expected["positions"]
    assert cloud.colors.tolist() == expected["colors"]
    assert [camera.number for camera in cloud.cameras] == expected["cameras"]
    assert [camera.center.tolist() for camera in cloud.cameras] == expected["centers"]
    assert len(cloud) == len(expected["positions"])
