//! Events of a session for its clients, independent of the wire format.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::error_code::ErrorCode;
use crate::errors::Unanswered;
use crate::ids::MessageId;
use crate::report::SessionStatus;
use crate::updates::{AttachOptions, MapPoses};

/// An event for a client. `id` is always the client's identifier of the message that the event
/// answers.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// The client is attached. Always the first event.
    Connected {
        /// Images that the session has stored.
        image_count: u32,
        /// Images that it may store.
        max_images: u32,
        /// How the client has joined.
        joined: AttachOptions,
    },
    /// The session has a new result, or another status. For clients that watch.
    Changed {
        /// Images that the session has stored.
        image_count: u32,
        status: SessionStatus,
        /// Number of the newest result, if there is one.
        number: Option<u64>,
    },
    /// An image was decoded and stored.
    Acknowledged {
        /// Images that the session has stored, this one included.
        image_count: u32,
        /// The client's name of the image, or a generated one.
        image_path: Arc<str>,
        id: Option<MessageId>,
    },
    /// Progress of a running request.
    Progress {
        progress: Progress,
        id: Option<MessageId>,
    },
    /// A point cloud: the one answer to a `generate` or `finalize`.
    Result {
        answer: Arc<Answer>,
        /// What the client confirms it with: the number of the answer, or of the update for a client
        /// that appends.
        number: u64,
        id: Option<MessageId>,
        /// Key of the request within the session.
        request: u64,
    },
    /// Takes the place of a point cloud that was too large for the client's connection.
    ResultToFetch {
        number: u64,
        /// Size of the point cloud as binary glTF.
        bytes: usize,
        id: Option<MessageId>,
        /// Key of the request within the session.
        request: u64,
    },
    /// A message was refused or failed. For a `generate` or `finalize` it is the one answer.
    Error {
        code: ErrorCode,
        /// What failed and how to correct it.
        message: String,
        id: Option<MessageId>,
        /// The client's name of the image that the error is about.
        filename: Option<String>,
        /// Key of the request that it answers.
        request: Option<u64>,
    },
    /// All poses, as they are now.
    Poses {
        poses: Arc<MapPoses>,
        id: Option<MessageId>,
    },
    /// The answer to a ping.
    Pong,
    /// The session or the server ends. Always the last event.
    Closed(CloseReason),
}

impl SessionEvent {
    /// The answer to a request: a point cloud that the client has not got.
    pub(crate) fn result(answer: Arc<Answer>, id: Option<MessageId>, request: u64) -> Self {
        Self::Result {
            number: answer.number,
            answer,
            id,
            request,
        }
    }

    /// What takes the place of this event if it is too large for its client.
    pub(crate) fn into_notice(self) -> Self {
        match self {
            Self::Result {
                answer,
                number,
                id,
                request,
            } => Self::ResultToFetch {
                number,
                bytes: answer.glb.len(),
                id,
                request,
            },
            other => other,
        }
    }

    /// Key of the request that this answers.
    pub(crate) fn request(&self) -> Option<u64> {
        match self {
            Self::Result { request, .. } | Self::ResultToFetch { request, .. } => Some(*request),
            Self::Error { request, .. } => *request,
            _ => None,
        }
    }
}

/// The stages of a request, in their order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Display,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// Waiting for a worker and its model.
    LoadingModel,
    /// Running the model.
    Inference,
    /// Computing and writing the point cloud.
    Exporting,
    /// Storing the result.
    Finalizing,
}

/// Progress of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub stage: Stage,
    /// Share of the whole request that is done, 0 to 1. Never decreases.
    pub fraction: f32,
    /// Readable text, for example "Processing frame 5/10".
    pub message: String,
}

/// Why a session's clients are disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum CloseReason {
    #[error("session was deleted")]
    Deleted,
    #[error("session expired after inactivity")]
    Expired,
    /// The session's actor failed.
    #[error("session failed; connect again with resume=true")]
    Failed,
    #[error("{}", Unanswered::ShuttingDown)]
    ShuttingDown,
    #[error("another server goes on with the session; connect again with resume=true")]
    Moved,
}

impl CloseReason {
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Deleted => ErrorCode::SessionDeleted,
            Self::Expired => ErrorCode::SessionExpired,
            Self::Failed => ErrorCode::SessionFailed,
            Self::ShuttingDown | Self::Moved => ErrorCode::ShuttingDown,
        }
    }
}
