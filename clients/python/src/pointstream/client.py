"""A server, and the sessions on it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .cloud import Cloud
from .connection import Wire
from .engine import Engine, SocketOptions
from .errors import IncompatibleServerError, InvalidResponseError
from .parameters import SessionParameters, Webhook
from .remote import Remote
from .rest import Rest
from .retry import Retry
from .session import Opened, Session
from .version import PROTOCOL_VERSION

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


@dataclass(frozen=True)
class ClientOptions:
    """How a client talks to its server."""

    # Seconds for a connection, and without a byte of an HTTP answer.
    timeout: float = 60.0
    # Seconds for the answer to a ping. It waits behind the image that is being sent, so a slow
    # network needs more.
    dead_after: float = 60.0
    retry: Retry = field(default_factory=Retry)
    # For servers whose certificate the system does not trust.
    tls: ssl.SSLContext | None = None
    # Bytes of a result that is kept in memory. `Session.download` has no limit.
    max_result_bytes: int = 1 << 30


class Client:
    """A server. `async with Client(url) as client` checks that it speaks our protocol."""

    def __init__(
        self, url: str, token: str | None = None, *, options: ClientOptions | None = None
    ) -> None:
        self.options = options or ClientOptions()
        self.token = token
        self._rest = Rest(
            url, timeout=self.options.timeout, retry=self.options.retry, tls=self.options.tls
        )
        self._info: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """The address of the server."""
        return self._rest.base

    async def __aenter__(self) -> Self:
        self._info = await self.info()
        spoken = self._info.get("protocol_version")
        if not isinstance(spoken, str):
            raise InvalidResponseError(f"{self.url} does not say which protocol it speaks")
        if spoken.split(".")[0] != PROTOCOL_VERSION.split(".")[0]:
            raise IncompatibleServerError(
                f"the server speaks version {spoken} of the protocol, and this client "
                f"{PROTOCOL_VERSION}; install a version of the client for that server"
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._info = {}

    async def info(self) -> dict[str, Any]:
        """Versions, model, devices and limits of the server."""
        return (await self._rest.send("GET", "/info", token=self.token)).json()

    async def sessions(self) -> dict[str, Any]:
        """The caller's sessions, with statistics."""
        return (await self._rest.send("GET", "/ws/sessions", token=self.token)).json()

    def session(
        self,
        *,
        webhook: Webhook | None = None,
        options: SocketOptions | None = None,
        keep: bool = False,
        **parameters: Unpack[SessionParameters],
    ) -> Session:
        """A new session. `async with` creates it, and deletes it at the end unless `keep`."""
        return self._new("/ws/session/create", webhook, options, keep, parameters)

    def attach(
        self,
        session_id: str,
        *,
        token: str | None = None,
        cloud: Cloud | None = None,
        options: SocketOptions | None = None,
        resume: bool = True,
        keep: bool = True,
    ) -> Session:
        """A session that exists already, for example of a program that has ended.

        With `resume` it gets the answers that nobody has received. `cloud` is what an earlier
        `Session.cloud` has: updates continue it. `token` may be that of the session.
        """

        async def opening() -> Opened:
            chosen = options or SocketOptions()
            engine = self._engine(session_id, token or self.token, chosen, cloud)
            return Opened(engine, None, self._image_limit(), resume)

        return Session(self, opening, keep=keep)

    def _new(
        self,
        path: str,
        webhook: Webhook | None,
        options: SocketOptions | None,
        keep: bool,
        parameters: SessionParameters,
    ) -> Session:
        chosen = _fitting(options, parameters)

        async def opening() -> Opened:
            body = webhook.body() if webhook is not None else None
            # The token of a session has no right to create another one.
            reply = await self._rest.send(
                "POST", path, token=self.token, query=parameters, body=body
            )
            fields = reply.json()
            session_id = fields.get("session_id")
            if not isinstance(session_id, str):
                raise InvalidResponseError("the answer to a new session has no session_id")
            # From now on the token of this session suffices. Servers that ask for none give none.
            token = fields.get("session_token", self.token)
            engine = self._engine(session_id, token, chosen, None)
            secret = (fields.get("webhook") or {}).get("secret")
            return Opened(engine, secret, self._image_limit(), resume=False)

        return Session(self, opening, keep=keep)

    def _engine(
        self, session_id: str, token: str | None, options: SocketOptions, cloud: Cloud | None
    ) -> Engine:
        wire = Wire(
            # `http` becomes `ws`, and `https` becomes `wss`.
            self.url.replace("http", "ws", 1) + f"/ws/reconstruct/{session_id}",
            self.options.tls,
            self.options.timeout,
            self.options.dead_after,
            options.max_message_bytes,
        )
        remote = Remote(self._rest, session_id, token, self.options.max_result_bytes)
        return Engine(wire, self.options.retry, remote, options, cloud or Cloud())

    def _image_limit(self) -> int | None:
        limit = self._info.get("limits", {}).get("max_image_bytes")
        return limit if isinstance(limit, int) else None


def _fitting(options: SocketOptions | None, parameters: SessionParameters) -> SocketOptions:
    """The options of a socket: those given, or what fits to the parameters of the session."""
    if options is None:
        # Voxels do not work with updates that append, and this package does not read meshopt.
        whole = parameters.get("voxel_size") or parameters.get("glb_compression") == "meshopt"
        return SocketOptions(deltas="cumulative" if whole else "append")
    if options.deltas == "append" and parameters.get("voxel_size"):
        raise ValueError("voxel_size needs deltas='cumulative'")
    if options.deltas == "append" and parameters.get("glb_compression") == "meshopt":
        raise ValueError("glb_compression='meshopt' needs deltas='cumulative'")
    return options
