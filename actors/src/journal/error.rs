//! Why a journal cannot be written or read.

use std::io;

use thiserror::Error;

use crate::error_code::ErrorCode;
use crate::errors::StorageFailed;
use crate::sqlite;

/// Why a journal cannot be written or read.
#[derive(Debug, Error)]
pub(crate) enum JournalError {
    #[error("the session's journal cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file that the records rely on.
    #[error("the session's files cannot be written: {0}")]
    Files(#[from] io::Error),
    #[error("a record of the session cannot be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("record {number} of the session's journal cannot be read: {source}")]
    Decode {
        number: u64,
        source: rmp_serde::decode::Error,
    },
    /// It names something that no record before it has made.
    #[error("record {0} of the session's journal contradicts those before it")]
    Contradiction(u64),
    #[error("the session's journal does not begin with the session")]
    NoBeginning,
    /// Another server goes on with it.
    #[error("another server has taken the session over")]
    Taken,
    /// The records are written or not: only reading the journal again tells.
    #[error("whether the session's journal was written is unknown: {0}")]
    Unknown(String),
    /// It cannot be reached.
    #[error("the session's journal cannot be reached: {0}")]
    Unreachable(String),
    #[error(
        "the session's journal has format {found}, and this version of the program reads format \
         {known}; use the version that wrote it, or a newer one"
    )]
    Format { found: i64, known: i64 },
}

impl JournalError {
    /// Whether the journal's content is wrong. Otherwise it may be read at another time.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => sqlite::is_damage(error),
            Self::Decode { .. } | Self::Contradiction(_) | Self::NoBeginning => true,
            Self::Files(error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData
            ),
            Self::Encode(_)
            | Self::Format { .. }
            | Self::Taken
            | Self::Unknown(_)
            | Self::Unreachable(_) => false,
        }
    }

    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Sqlite(error) if sqlite::is_full(error) => ErrorCode::DiskFull,
            error => ErrorCode::of_files(error),
        }
    }
}

impl From<&JournalError> for StorageFailed {
    fn from(error: &JournalError) -> Self {
        Self::new(error.code(), error)
    }
}

impl From<JournalError> for StorageFailed {
    fn from(error: JournalError) -> Self {
        Self::from(&error)
    }
}
