//! Messages of the supervisor.

use crate::blocking::WorkFailed;
use crate::errors::{CreateSessionError, DeleteSessionError};
use crate::handle::{OwnedSession, SessionHandle};
use crate::ids::SessionId;
use crate::mailbox::{Mailbox, Reply};
use crate::report::ActorReport;
use crate::session::message::SessionMessage;
use crate::session_config::SessionConfig;

/// The address of a session.
pub(crate) type SessionMailbox = Mailbox<SessionMessage>;

/// The reply for the creator of a session.
pub(crate) type CreateReply = Reply<Result<OwnedSession, CreateSessionError>>;

/// The reply for a caller that waits until a session's files are removed.
pub(crate) type DeleteReply = Reply<Result<(), DeleteSessionError>>;

/// Messages of the supervisor.
pub(crate) enum SupervisorMessage {
    /// Create a session.
    Create(SessionConfig, CreateReply),
    /// The folder of a new session is created, or not.
    FolderCreated {
        id: SessionId,
        config: SessionConfig,
        outcome: Result<(), FolderError>,
        reply: CreateReply,
    },
    /// Find a session.
    Find(SessionId, Reply<Option<SessionHandle>>),
    /// All sessions, the oldest first.
    List(Reply<Vec<SessionMailbox>>),
    /// End a session. Answered when its files are removed.
    Delete(SessionId, DeleteReply),
    /// The folder of an ended session is removed, or not.
    FolderRemoved(SessionId, Result<(), FolderError>),
    /// Try again to remove a folder. Sent by the supervisor to itself.
    RemoveAgain(SessionId),
    /// Kill a worker and start it again. Answers whether there is such a worker.
    RestartWorker(usize, Reply<bool>),
    /// The live tree of actors.
    Report(Reply<ActorReport>),
    /// Create no more sessions. Answers with those that exist.
    Drain(Reply<Vec<SessionMailbox>>),
    /// End all sessions. Answered when their files are removed.
    CloseAll(Reply<()>),
}

/// A session's folder could not be created or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FolderError(pub String);

impl From<std::io::Error> for FolderError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<WorkFailed> for FolderError {
    fn from(failed: WorkFailed) -> Self {
        Self(failed.to_string())
    }
}
