//! Messages of the supervisor.

use crate::creator::{Creator, Whose};
use crate::errors::{CreateSessionError, DeleteSessionError, RestartError, StorageFailed};
use crate::handle::{OwnedSession, SessionHandle};
use crate::ids::SessionId;
use crate::mailbox::{Mailbox, Reply};
use crate::outbox::Webhook;
use crate::report::ActorReport;
use crate::session::message::SessionMessage;
use crate::session::restore::{Found, RestoreError, Restored};
use crate::session_config::SessionConfig;
use crate::sharing::Adoption;

/// The address of a session.
pub(crate) type SessionMailbox = Mailbox<SessionMessage>;

/// The reply for the creator of a session.
pub(crate) type CreateReply = Reply<Result<OwnedSession, CreateSessionError>>;

/// The reply for a caller that waits until a session's files are removed.
pub(crate) type DeleteReply = Reply<Result<(), DeleteSessionError>>;

/// Messages of the supervisor.
pub(crate) enum SupervisorMessage {
    /// Create a session.
    Create {
        config: SessionConfig,
        creator: Option<Creator>,
        webhook: Option<Webhook>,
        reply: CreateReply,
    },
    /// The folder of a new session is created and begins its journal, or not.
    FolderCreated {
        id: SessionId,
        outcome: Result<Box<Restored>, StorageFailed>,
        reply: CreateReply,
    },
    /// A session that has failed is read from its journal, or cannot be.
    Restored {
        id: SessionId,
        outcome: Result<Found, RestoreError>,
    },
    /// Find a session among those that the caller may reach.
    Find(SessionId, Whose, Reply<Option<SessionHandle>>),
    /// All sessions that the caller may reach, the oldest first.
    List(Whose, Reply<Vec<SessionMailbox>>),
    /// End a session that the caller may reach. Answered when its files are removed.
    Delete(SessionId, Whose, DeleteReply),
    /// This gateway owns a session that others share: go on with it.
    Adopt {
        id: SessionId,
        reply: Reply<Adoption>,
    },
    /// A session that nobody had is read, or cannot be.
    Adopted {
        id: SessionId,
        outcome: Result<Found, RestoreError>,
    },
    /// The folder of an ended session is removed, or not.
    FolderRemoved(SessionId, Result<(), StorageFailed>),
    /// Try again to remove a folder. Sent by the supervisor to itself.
    RemoveAgain(SessionId),
    /// Kill a worker and start it again. Answers whether there is such a worker.
    RestartWorker(usize, Reply<Result<(), RestartError>>),
    /// The live tree of actors.
    Report(Reply<ActorReport>),
    /// Create no more sessions. Answers with those that exist.
    Drain(Reply<Vec<SessionMailbox>>),
    /// End all sessions. Those that are kept go on in the next process.
    CloseAll(Reply<()>),
}
