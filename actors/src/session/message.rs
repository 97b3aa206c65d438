//! What a session is told.

use std::sync::Arc;

use bytes::Bytes;
use pointstream_reconstruction::formats::ResultFormat;
use tokio::sync::OwnedSemaphorePermit;

use super::exports::ExportReply;
use super::generation::{GenerationError, Outcome};
use super::images::ThumbnailReply;
use super::uploads::{StoreError, StoredImage};
use crate::connection::{AttachError, ConnectionId, Events, Requests};
use crate::event::{Answer, ClientMessage, CloseReason, Progress, SessionEvent};
use crate::mailbox::Reply;
use crate::memory::MemoryLease;
use crate::result_file::ResultFileError;
use crate::summary::{ImageSummary, SessionSummary};

/// What a session is told.
pub(crate) enum SessionMessage {
    /// A client connects.
    Attach {
        /// Whether it wants what an earlier connection missed.
        resume: bool,
        /// Answers with the two halves of the connection.
        reply: Reply<Result<(Requests, Events), AttachError>>,
    },
    /// A client has gone.
    Detach(ConnectionId),
    /// A client says something.
    Client {
        /// Which one.
        connection: ConnectionId,
        /// What it says.
        message: ClientMessage,
        /// Its right to one unanswered message, given back with the answer.
        permit: OwnedSemaphorePermit,
        /// The memory that an image takes.
        memory: Option<MemoryLease>,
    },
    /// An image is stored, or not.
    UploadSettled {
        /// Which upload.
        number: u64,
        /// What came of it.
        outcome: Result<StoredImage, StoreError>,
    },
    /// A frame is encoded, or the pool had no place for it.
    EncodeEnded,
    /// The running generation has come this far.
    Progress {
        /// Which request's: a thread that was given up may still speak of an earlier one.
        number: u64,
        /// How far.
        progress: Progress,
    },
    /// The running generation is over.
    GenerationEnded(Result<Box<Outcome>, GenerationError>),
    /// The one answer of a request did not reach its client.
    Undelivered(SessionEvent),
    /// Tell what there is to know.
    Summary(Reply<SessionSummary>),
    /// Give the newest result.
    Result(Reply<Option<Arc<Answer>>>),
    /// Give the images, in the order in which they were stored.
    Images(Reply<Vec<ImageSummary>>),
    /// Give a small copy of an image.
    Thumbnail {
        /// Its place among the images, counted from 0.
        index: usize,
        /// Answers with the file, or none if there is no such image.
        reply: ThumbnailReply,
    },
    /// Give the newest result in a format; written first, if need be.
    Export {
        /// Which one.
        format: ResultFormat,
        /// Answers with the file, or none if there is no result.
        reply: ExportReply,
    },
    /// A result is written, or not.
    ExportEnded {
        /// Of which result.
        number: u64,
        /// In which format.
        format: ResultFormat,
        /// The file.
        outcome: Result<Bytes, ResultFileError>,
    },
    /// Somebody who waited for a file has left.
    ExportLeft,
    /// A file takes too long to write.
    ExportLate {
        /// Of which result.
        number: u64,
        /// In which format.
        format: ResultFormat,
    },
    /// Nobody owns the session any more: it lives on by itself.
    Kept,
    /// Look whether anything happened lately.
    CheckIdle,
    /// Take no new requests and answer when nothing runs any more.
    Drain(Reply<()>),
    /// End.
    Close(CloseReason),
}
