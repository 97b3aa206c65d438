//! Everything that this crate returns as an error.

use std::path::PathBuf;
use std::time::Duration;

use crate::refusal::Refusal;

/// Any error of this crate.
///
/// An error of the server keeps what the server says as a [`Refusal`]. The variants that carry one
/// are chosen by its `code`; a code that this version does not know becomes [`Error::Server`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server does not respond: it is not there, or the network is down.
    #[error("{0}")]
    Unreachable(String),

    /// A connection was lost, and could not be restored within the allowed attempts.
    #[error(
        "the connection is lost and could not be restored ({reason}); session {session_id} goes on: \
         Client::attach takes it up again"
    )]
    ConnectionLost {
        /// The session that goes on.
        session_id: String,
        /// Why the last attempt failed.
        reason: Box<Error>,
    },

    /// The session was used after it was closed.
    #[error("the session was closed; Client::attach takes it up again")]
    Closed,

    /// The answer is not one of the protocol: most likely something else answers at this address.
    #[error("{0}; check that the address is that of a pointstream server")]
    InvalidResponse(String),

    /// The server speaks another version of the protocol.
    #[error(
        "the server speaks version {spoken} of the protocol, and this client {}; use a version of \
         the client for that server",
        crate::PROTOCOL_VERSION
    )]
    IncompatibleServer {
        /// The version that the server speaks.
        spoken: String,
    },

    /// A file is not a GLB that this crate reads.
    #[error("{0}")]
    Glb(String),

    /// An argument of a call cannot be used.
    #[error("{0}")]
    InvalidArgument(String),

    /// A file on this machine could not be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },

    /// There is no valid token.
    #[error(
        "{0}; pass a valid token to Client::token, which the operator makes with `pointstream token add`"
    )]
    Authentication(Box<Refusal>),

    /// The token, or this way to the server, does not allow the operation.
    #[error("{0}; use a token with this scope and the address that the operator gives")]
    PermissionDenied(Box<Refusal>),

    /// There is no such session for this caller.
    #[error("{0}; create a new session: unused and idle sessions expire")]
    SessionNotFound(Box<Refusal>),

    /// The session has ended while it was used.
    #[error("{0}; create a new session and send the images again")]
    SessionEnded(Box<Refusal>),

    /// An image cannot be used. The session goes on without it.
    #[error("{0}; send a JPEG, PNG, WebP or HEIC file within the limits of Client::info")]
    ImageRefused(Box<Refusal>),

    /// The request was cancelled.
    #[error("{0}; images and earlier results are kept, so Session::generate works again")]
    Cancelled(Box<Refusal>),

    /// A parameter, a message or a form is not one that the server takes.
    #[error("{0}; the message names what is wrong, and docs/protocol.md lists what is accepted")]
    InvalidRequest(Box<Refusal>),

    /// The session is not in a state for this.
    #[error("{0}; look at Session::state")]
    State(Box<Refusal>),

    /// The session is completed.
    #[error("{0}; Session::reopen lets it take images and requests again")]
    SessionCompleted(Box<Refusal>),

    /// The server, or this caller's share of it, is full; later it may not be.
    #[error("{0}; try again later, after `retry_after` if it is given")]
    Busy(Box<Refusal>),

    /// The images gave no result.
    #[error("{0}; fewer images, a smaller process_res or other images may work")]
    Reconstruction(Box<Refusal>),

    /// A result is larger than this client takes.
    #[error("{0}; save it with Session::download, or raise max_message_bytes or max_result_bytes")]
    ResultTooLarge(Box<Refusal>),

    /// The server could not store or read something.
    #[error("{0}; the operator must make space on the disk or raise the limits of it")]
    Storage(Box<Refusal>),

    /// Another error of the server.
    #[error("{0}; the server's log may say more")]
    Server(Box<Refusal>),
}

impl Error {
    /// What the server says, if this is an error of the server.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Authentication(refusal)
            | Self::PermissionDenied(refusal)
            | Self::SessionNotFound(refusal)
            | Self::SessionEnded(refusal)
            | Self::ImageRefused(refusal)
            | Self::Cancelled(refusal)
            | Self::InvalidRequest(refusal)
            | Self::State(refusal)
            | Self::SessionCompleted(refusal)
            | Self::Busy(refusal)
            | Self::Reconstruction(refusal)
            | Self::ResultTooLarge(refusal)
            | Self::Storage(refusal)
            | Self::Server(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The error code of the protocol, if the server gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.refusal()?.code.as_deref()
    }

    /// How long the server wants not to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// Whether another attempt to connect may succeed.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            _ => self.refusal().is_some_and(Refusal::passes),
        }
    }

    pub(crate) fn file(path: &std::path::Path, reason: &std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
