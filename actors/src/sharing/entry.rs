//! The messages of a shared journal.

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::blobs::BlobName;
use crate::journal::{JournalError, request_of};
use crate::remote::sealed::SealedBlob;
use crate::session::ledger::Record;
use crate::sqlite::milliseconds;

/// Version of the messages and of the records in them.
const FORMAT: u32 = 1;

/// A message of a journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    format: u32,
    /// Who wrote it.
    pub gateway: Uuid,
    pub content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// The gateway goes on with the session. What others append afterwards is refused.
    Claimed,
    /// What has happened, and the files that it relies on.
    Happened {
        rows: Vec<Row>,
        files: Vec<SealedBlob>,
    },
    /// Such a content that is too large for a message.
    Stored(SealedBlob),
}

/// A record, as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub number: u64,
    /// When it happened, in milliseconds since 1970.
    pub at: i64,
    pub content: Bytes,
    /// The files that the record relies on.
    #[serde(skip)]
    pub files: Vec<BlobName>,
    /// Whether the record is about a request.
    #[serde(skip)]
    pub is_of_request: bool,
}

impl Row {
    pub fn new(number: u64, record: &Record) -> Result<Self, JournalError> {
        Ok(Self {
            number,
            at: milliseconds(SystemTime::now()),
            content: rmp_serde::to_vec_named(record)?.into(),
            files: record.files(),
            is_of_request: request_of(record).is_some(),
        })
    }

    pub fn record(&self) -> Result<Record, JournalError> {
        let number = self.number;
        rmp_serde::from_slice(&self.content)
            .map_err(|source| JournalError::Decode { number, source })
    }
}

impl Entry {
    pub fn new(gateway: Uuid, content: Content) -> Self {
        Self {
            format: FORMAT,
            gateway,
            content,
        }
    }

    pub fn to_bytes(&self) -> Result<Bytes, JournalError> {
        Ok(rmp_serde::to_vec_named(self)?.into())
    }

    /// Reads a message, which is that of this number in its stream.
    pub fn read(payload: &[u8], number: u64) -> Result<Self, JournalError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let decode = |source| JournalError::Decode { number, source };
        let Version { format } = rmp_serde::from_slice(payload).map_err(decode)?;
        if format != FORMAT {
            return Err(JournalError::Format {
                found: format.into(),
                known: FORMAT.into(),
            });
        }
        rmp_serde::from_slice(payload).map_err(decode)
    }
}
