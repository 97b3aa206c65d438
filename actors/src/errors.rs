//! Errors of the system and of sessions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pointstream_reconstruction::formats::{ResultFormat, WriteError};
use thiserror::Error;

use crate::blocking::WorkFailed;
use crate::error_code::ErrorCode;
use crate::jobs::HoldFailed;
use crate::session_config::OutOfRange;

/// A session does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unanswered {
    /// The session never existed, was deleted, expired or failed.
    #[error("{}", SessionNotFound)]
    NotFound,
    /// The answer takes too long.
    #[error("server is busy; try again later")]
    Busy,
    #[error("server is shutting down")]
    ShuttingDown,
}

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Session not found; it may have expired, create a new one")]
pub struct SessionNotFound;

/// A client cannot be attached to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AttachError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("the session has {limit} connections already; close one of them")]
    TooManyConnections {
        /// Clients that may be attached at the same time.
        limit: usize,
    },
    #[error("{limit} clients watch the session already; try again later")]
    TooManyWatchers {
        /// Clients that may watch at the same time.
        limit: usize,
    },
    /// The session's parameters allow no updates of what is new.
    #[error(
        "deltas=append does not work with voxel_size: a new point may replace an old one; use \
         deltas=cumulative, or a session with voxel_size=0"
    )]
    AppendWithVoxels,
}

/// A session cannot be created.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CreateSessionError {
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    #[error("maximum number of sessions reached ({limit}); delete one or try again later")]
    AtCapacity {
        /// Sessions that may exist at the same time.
        limit: usize,
    },
    #[error(
        "{name} has {limit} sessions already, as many as one client may have; delete one or try again \
         later"
    )]
    CreatorAtCapacity {
        name: Arc<str>,
        /// Sessions that they may have at the same time.
        limit: usize,
    },
    #[error("{}", Unanswered::ShuttingDown)]
    ShuttingDown,
    /// The answer takes too long.
    #[error("{}", Unanswered::Busy)]
    Busy,
    #[error("the session cannot be stored: {0}")]
    Storage(StorageFailed),
    #[error("the session could not be started: {0}")]
    Internal(String),
}

/// Files of a session could not be written or removed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct StorageFailed {
    /// Whether the disk is full, or another error.
    pub code: ErrorCode,
    reason: String,
}

impl StorageFailed {
    pub(crate) fn new(code: ErrorCode, error: &impl std::error::Error) -> Self {
        Self {
            code,
            reason: error.to_string(),
        }
    }
}

impl From<io::Error> for StorageFailed {
    fn from(error: io::Error) -> Self {
        Self::new(ErrorCode::of_files(&error), &error)
    }
}

impl From<WorkFailed> for StorageFailed {
    fn from(failed: WorkFailed) -> Self {
        Self::new(ErrorCode::Internal, &failed)
    }
}

/// A worker is not restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RestartError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("there is no worker {index}; this server has {workers}, counted from 0")]
    NoSuchWorker { index: usize, workers: usize },
    /// It has no model at the moment.
    #[error("worker {index} is starting already")]
    Starting { index: usize },
    /// Its last restart was a moment ago.
    #[error("worker {index} was restarted a moment ago; try again in {seconds} s")]
    TooSoon { index: usize, seconds: u64 },
}

/// A session is not reopened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the session is not completed; it takes images and requests already")]
pub struct NotCompleted;

/// A session does not get the images of another one.
#[derive(Debug, Error)]
pub enum TakeOverError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The other session may have ended meanwhile.
    #[error("the images could not be shared: {0}")]
    Files(#[from] std::io::Error),
    #[error("internal error: {0}")]
    Internal(String),
}

/// A session is not deleted completely.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeleteSessionError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The session has ended, but its files are still there. The server tries to remove them again
    /// for a while, and at once if the session is deleted again.
    #[error("the session has ended, but its files could not be removed yet: {0}")]
    Files(String),
}

/// A result is not available as a file of a format.
#[derive(Debug, Clone, Error)]
pub enum ResultFileError {
    /// The session does not answer, or too many files are written before this one.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("the result was not written as {format} within {} s", limit.as_secs())]
    TimedOut {
        format: ResultFormat,
        /// How long it may take.
        limit: Duration,
    },
    /// There is too little memory to make it.
    #[error("the result could not be written as {format}: {source}")]
    NoMemory {
        format: ResultFormat,
        source: HoldFailed,
    },
    #[error("the result could not be written as {format}: {source}")]
    Write {
        format: ResultFormat,
        source: Arc<WriteError>,
    },
    #[error("internal error: {0}")]
    Internal(String),
}

/// A stored image, or its thumbnail, is not available.
#[derive(Debug, Error)]
pub enum StoredImageError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The stored image cannot be read.
    #[error("{0}")]
    Read(String),
    #[error("internal error: {0}")]
    Internal(String),
}
