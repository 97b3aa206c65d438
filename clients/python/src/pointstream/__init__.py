"""Client of pointstream, which turns photos into a 3D point cloud while they are sent.

Everything here is asynchronous. `pointstream.sync` has the same names for programs that are not.
"""

from .client import Client, ClientOptions
from .cloud import Camera, Chunk, Cloud
from .engine import SocketOptions
from .errors import (
    AuthenticationError,
    BusyError,
    ClosedError,
    ConnectionLostError,
    GlbError,
    ImageRefusedError,
    IncompatibleServerError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    PointstreamError,
    ReconstructionError,
    RequestCancelledError,
    ResultTooLargeError,
    ServerError,
    SessionCompletedError,
    SessionEndedError,
    SessionNotFoundError,
    StateError,
    StorageError,
    UnreachableError,
    WebhookError,
)
from .events import (
    Ack,
    Connected,
    Disconnected,
    Event,
    Poses,
    Progress,
    Quality,
    Refused,
    Result,
)
from .glb import Points
from .images import Image, ImageSource, KnownCamera
from .parameters import SessionParameters, Webhook
from .reconstruct import Reconstruction, reconstruct
from .retry import Retry
from .session import ResultFormat, Session
from .subscription import Subscription
from .version import PROTOCOL_VERSION, __version__

__all__ = [
    "PROTOCOL_VERSION",
    "Ack",
    "AuthenticationError",
    "BusyError",
    "Camera",
    "Chunk",
    "Client",
    "ClientOptions",
    "ClosedError",
    "Cloud",
    "Connected",
    "ConnectionLostError",
    "Disconnected",
    "Event",
    "GlbError",
    "Image",
    "ImageRefusedError",
    "ImageSource",
    "IncompatibleServerError",
    "InvalidRequestError",
    "InvalidResponseError",
    "KnownCamera",
    "PermissionDeniedError",
    "Points",
    "PointstreamError",
    "Poses",
    "Progress",
    "Quality",
    "Reconstruction",
    "ReconstructionError",
    "Refused",
    "RequestCancelledError",
    "Result",
    "ResultFormat",
    "ResultTooLargeError",
    "Retry",
    "ServerError",
    "Session",
    "SessionCompletedError",
    "SessionEndedError",
    "SessionNotFoundError",
    "SessionParameters",
    "SocketOptions",
    "StateError",
    "StorageError",
    "Subscription",
    "UnreachableError",
    "Webhook",
    "WebhookError",
    "__version__",
    "reconstruct",
]
