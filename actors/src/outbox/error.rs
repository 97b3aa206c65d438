//! Why the outbox cannot be used.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error_code::ErrorCode;
use crate::sqlite;

/// The file of the outbox cannot be used.
#[derive(Debug, Error)]
pub enum OutboxError {
    #[error("the outbox of webhooks cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the outbox of webhooks {path} cannot be used: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error(
        "the outbox of webhooks has format {found}, and this version of the program reads format \
         {known}; use the version that wrote it, or a newer one"
    )]
    Format { found: i64, known: i64 },
    #[error("the outbox of webhooks is damaged: {0}")]
    Damaged(String),
}

impl OutboxError {
    /// Whether what the file has is lost.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => sqlite::is_damage(error),
            Self::Damaged(_) => true,
            Self::File { .. } | Self::Format { .. } => false,
        }
    }

    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Self::Sqlite(error) if sqlite::is_full(error) => ErrorCode::DiskFull,
            error => ErrorCode::of_files(error),
        }
    }
}
