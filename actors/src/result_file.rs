//! A result as a file, free of any wire format.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pointstream_reconstruction::formats::{ResultFormat, WriteError};
use thiserror::Error;

use crate::event::SessionId;
use crate::handle::Unanswered;

/// A result in one format.
#[derive(Debug, Clone)]
pub struct ResultFile {
    /// The session.
    pub session: SessionId,
    /// Which of its results. With session and format it names these bytes and no others.
    pub number: u64,
    /// The format.
    pub format: ResultFormat,
    /// The file: a view of the disk, not memory.
    pub bytes: Bytes,
}

/// Why there is no file.
#[derive(Debug, Clone, Error)]
pub enum ResultFileError {
    /// The session does not answer, or others are written for too long before it.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// It took too long to write.
    #[error("the result was not written as {format} within {} s", limit.as_secs())]
    TimedOut {
        /// The format.
        format: ResultFormat,
        /// How long it may take.
        limit: Duration,
    },
    /// It was not written.
    #[error("the result could not be written as {format}: {source}")]
    Write {
        /// The format.
        format: ResultFormat,
        /// What went wrong.
        source: Arc<WriteError>,
    },
    /// Something of ours panicked.
    #[error("internal error: {0}")]
    Internal(String),
}
