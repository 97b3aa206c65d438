//! Messages of a session.

use std::sync::Arc;

use bytes::Bytes;
use pointstream_reconstruction::formats::ResultFormat;
use pointstream_reconstruction::map::Corrections;

use super::adopt::StoredImages;
use super::envelope::Envelope;
use super::generation_error::GenerationError;
use super::image_outcome::{ImageError, StoredImage};
use super::map_update::MadeUpdate;
use super::map_window::WindowOutcome;
use super::stored_result::Generated;
use crate::answer::{Answer, ResultFile};
use crate::blobs::BlobView;
use crate::client::{Events, Requests};
use crate::client_message::ClientMessage;
use crate::errors::{
    AttachError, NotCompleted, ResultFileError, StorageFailed, StoredImageError, TakeOverError,
};
use crate::ids::{ClientId, JobId, RequestKey};
use crate::jobs::{JobDone, JobFailure};
use crate::journal::JournalError;
use crate::mailbox::Reply;
use crate::report::{ImageSummary, OriginalImage, SessionSummary};
use crate::session_event::{CloseReason, Progress, SessionEvent};
use crate::updates::AttachOptions;
use crate::upload_memory::UploadLease;

/// Where a requested file goes.
pub(crate) type ResultFileReply = Reply<Result<Option<ResultFile>, ResultFileError>>;

/// Identifies a file of a session: the number of its result, and its format.
pub(crate) type FileId = (u64, ResultFormat);

/// Where a requested thumbnail goes. Answered with none if there is no such image.
pub(crate) type ThumbnailReply = Reply<Result<Option<Bytes>, StoredImageError>>;

/// Where a requested image goes. Answered with none if there is no such image.
pub(crate) type OriginalReply = Reply<Result<Option<OriginalImage>, StoredImageError>>;

/// Messages of a session.
pub(crate) enum SessionMessage {
    /// A client connects.
    Attach {
        options: AttachOptions,
        reply: Reply<Result<(Requests, Events), AttachError>>,
    },
    /// A client has disconnected.
    Detach(ClientId),
    /// A message of a client.
    Client {
        envelope: Envelope,
        /// Without the names that are in the envelope.
        message: ClientMessage,
        /// The memory that an image takes.
        memory: Option<UploadLease>,
    },
    /// An image is stored, or not.
    UploadSettled {
        number: u64,
        outcome: Result<StoredImage, ImageError>,
    },
    /// A job that encodes a frame ahead of time has ended.
    EncodeEnded {
        job: JobId,
        outcome: Result<JobDone, JobFailure>,
    },
    /// Progress of a window of the map.
    WindowProgress {
        number: u64,
        progress: Progress,
    },
    /// A window of the map has a chunk, or failed.
    WindowEnded {
        number: u64,
        outcome: Result<WindowOutcome, GenerationError>,
    },
    /// A worker has started an adjustment of the map, or it waits again.
    AdjustmentAccepted {
        number: u64,
        accepted: bool,
    },
    /// An adjustment of the map has ended.
    AdjustmentEnded {
        number: u64,
        outcome: Result<Corrections, JobFailure>,
    },
    /// Progress of a request.
    Progress {
        number: u64,
        progress: Progress,
    },
    /// A request has a point cloud, or failed.
    GenerationEnded {
        number: u64,
        outcome: Result<Box<Generated>, GenerationError>,
    },
    /// The update of a client is made, or not.
    UpdateMade {
        number: u64,
        outcome: Result<Box<MadeUpdate>, GenerationError>,
    },
    /// The answer to a request did not reach its client.
    Undelivered(SessionEvent),
    /// The answer to a request has reached its client.
    Delivered(RequestKey),
    /// The journal has the entries up to this number, or could not write them.
    Recorded {
        through: u64,
        outcome: Result<(), Arc<JournalError>>,
    },
    /// The journal is not written any more.
    JournalLost,
    Summary(Reply<SessionSummary>),
    /// The newest result.
    Result(Reply<Option<Arc<Answer>>>),
    /// The images, in the order in which they were stored.
    Images(Reply<Arc<[ImageSummary]>>),
    /// A small copy of an image.
    Thumbnail {
        /// Index of the image, from 0.
        index: usize,
        reply: ThumbnailReply,
    },
    /// An image as its client sent it.
    Original {
        /// Index of the image, from 0.
        index: usize,
        reply: OriginalReply,
    },
    /// The newest result in a format.
    File {
        format: ResultFormat,
        reply: ResultFileReply,
    },
    /// A file is written, or not.
    FileWritten {
        file: FileId,
        outcome: Result<BlobView, ResultFileError>,
    },
    /// End all requests; answers how many there were.
    Cancel(Reply<usize>),
    /// All images, for another session.
    StoredImages(Reply<StoredImages>),
    /// Take these images over; answers when their files are shared.
    TakeOver(StoredImages, Reply<Result<(), TakeOverError>>),
    /// Take images and requests again after the completion.
    Reopen(Reply<Result<(), NotCompleted>>),
    /// A caller stopped waiting for a file.
    FileUnwanted,
    /// A file takes too long to write.
    FileLate(FileId),
    /// The creator leaves the session running. Answered when that is recorded, and its images before.
    Keep(Reply<Result<(), StorageFailed>>),
    /// Check whether the session has expired. Sent by the session to itself.
    CheckExpiry,
    /// Accept no new requests, and answer when nothing runs any more.
    Drain(Reply<()>),
    /// End.
    Close(CloseReason),
}
