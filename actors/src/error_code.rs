//! Codes of errors, for programs that are clients. `docs/protocol.md` lists them.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::error_kind::ErrorKind;

/// What went wrong, as clients see it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ErrorCode {
    // Messages and images.
    /// Not a message of the protocol.
    InvalidMessage,
    /// Not an image, or one that cannot be used.
    InvalidImage,
    /// An image, or a field of a form, has too many bytes or pixels.
    ImageTooLarge,
    /// The session, or the request, has all images that it may have.
    TooManyImages,
    /// There is no image to work with.
    NoImages,
    /// Not a video, or one that cannot be used.
    InvalidVideo,
    /// A video, or what its frames take, is too large.
    VideoTooLarge,
    /// Too many requests of the session wait already.
    SessionBusy,
    /// The session is completed, or is being finalized.
    SessionCompleted,
    /// The client has cancelled the request.
    Cancelled,
    /// No such request waits or runs.
    NothingToCancel,
    /// There is no result with this number.
    UnknownResult,
    /// The client watches the session, and may not change it.
    WatchesOnly,
    /// The result is too large for the client's connection.
    ResultTooLarge,

    // Requests for a point cloud.
    /// The model failed.
    ModelFailed,
    /// The model's output gives no point cloud.
    NoPointCloud,
    /// There is too little memory.
    OutOfMemory,
    /// It took too long.
    Timeout,
    /// A worker failed, or none can load the model.
    WorkerFailed,

    // The session and its connections.
    SessionNotFound,
    SessionDeleted,
    SessionExpired,
    /// The session's actor failed.
    SessionFailed,
    TooManyConnections,
    /// Too many answers wait to be read.
    ReadsTooSlowly,
    /// The client does not answer pings.
    NoAnswer,
    /// A message or a body came too slowly.
    SendsTooSlowly,
    MessageTooLarge,
    /// A violation of the WebSocket protocol.
    ProtocolViolation,

    // HTTP.
    InvalidParameter,
    UnknownParameter,
    /// A request has a body that it should not have.
    UnexpectedBody,
    NotFound,
    /// The session is not completed, so it need not be reopened.
    NotCompleted,
    /// There is no result yet, or making it failed.
    NoResult,
    MethodNotAllowed,
    /// The address is that of a WebSocket.
    UpgradeRequired,
    OriginNotAllowed,
    /// `Host`, or a header of a proxy, cannot be used.
    InvalidHeader,
    /// The port speaks HTTPS.
    HttpsRequired,
    /// The server is not served under this name.
    HostNotAllowed,
    /// The client asks for more than its share.
    TooManyRequests,
    /// There is no valid token.
    Unauthenticated,
    /// The token lacks a scope.
    MissingScope,
    /// The condition of a request does not hold.
    PreconditionFailed,
    RangeNotSatisfiable,
    /// A form is malformed or truncated.
    InvalidForm,
    UnsupportedMediaType,
    /// The server reads no videos.
    VideosOff,
    /// As many sessions exist as may.
    TooManySessions,
    /// The client has as many network connections as it may have.
    TooManyClients,
    /// A worker is starting already, or was restarted a moment ago.
    WorkerRestarts,

    // The server.
    /// A queue is full, or an answer takes too long.
    ServerBusy,
    ShuttingDown,
    /// No worker is ready, or the disk is nearly full.
    NotReady,
    DiskFull,
    /// A file could not be written or read.
    StorageFailed,
    /// A defect of the server.
    Internal,
}

impl ErrorCode {
    /// The code of an error of files.
    pub(crate) fn of_files(error: &(dyn std::error::Error + 'static)) -> Self {
        match ErrorKind::of_files(error) {
            ErrorKind::DiskFull => Self::DiskFull,
            _ => Self::StorageFailed,
        }
    }

    /// What operators count it as.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::InvalidMessage => ErrorKind::Message,
            Self::InvalidImage | Self::ImageTooLarge | Self::InvalidVideo | Self::VideoTooLarge => {
                ErrorKind::Image
            }
            Self::TooManyImages
            | Self::NoImages
            | Self::SessionBusy
            | Self::SessionCompleted
            | Self::Cancelled
            | Self::NothingToCancel
            | Self::UnknownResult
            | Self::WatchesOnly
            | Self::ResultTooLarge
            | Self::ShuttingDown => ErrorKind::Refused,
            Self::ModelFailed => ErrorKind::Model,
            Self::NoPointCloud => ErrorKind::Cloud,
            Self::OutOfMemory => ErrorKind::OutOfMemory,
            Self::Timeout => ErrorKind::Timeout,
            Self::WorkerFailed | Self::WorkerRestarts | Self::NotReady => ErrorKind::Worker,
            Self::SessionFailed => ErrorKind::Session,
            Self::SessionNotFound
            | Self::SessionDeleted
            | Self::SessionExpired
            | Self::TooManyConnections
            | Self::NoAnswer
            | Self::SendsTooSlowly
            | Self::MessageTooLarge
            | Self::ProtocolViolation => ErrorKind::Socket,
            Self::ReadsTooSlowly => ErrorKind::SlowClient,
            Self::InvalidParameter
            | Self::UnknownParameter
            | Self::UnexpectedBody
            | Self::NotFound
            | Self::NotCompleted
            | Self::NoResult
            | Self::MethodNotAllowed
            | Self::UpgradeRequired
            | Self::OriginNotAllowed
            | Self::InvalidHeader
            | Self::HttpsRequired
            | Self::HostNotAllowed
            | Self::TooManyRequests
            | Self::Unauthenticated
            | Self::MissingScope
            | Self::PreconditionFailed
            | Self::RangeNotSatisfiable
            | Self::InvalidForm
            | Self::UnsupportedMediaType
            | Self::VideosOff
            | Self::TooManySessions
            | Self::TooManyClients => ErrorKind::Http,
            Self::ServerBusy => ErrorKind::Busy,
            Self::DiskFull => ErrorKind::DiskFull,
            Self::StorageFailed => ErrorKind::Storage,
            Self::Internal => ErrorKind::Internal,
        }
    }
}
