//! Events of a session for its clients, independent of the wire format.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::error_kind::ErrorKind;
use crate::errors::Unanswered;
use crate::ids::MessageId;

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
    },
    /// An image was decoded and stored.
    Acknowledged {
        /// Images that the session has stored, this one included.
        image_count: u32,
        /// The client's name of the image, or a generated one.
        image_path: String,
        id: Option<MessageId>,
    },
    /// Progress of a running request.
    Progress(Progress),
    /// A point cloud: the one answer to a `generate` or `finalize`.
    Result {
        answer: Arc<Answer>,
        id: Option<MessageId>,
    },
    /// A message was refused or failed. For a `generate` or `finalize` it is the one answer.
    Error {
        kind: ErrorKind,
        /// What failed and how to correct it.
        message: String,
        id: Option<MessageId>,
        /// The client's name of the image that the error is about.
        filename: Option<String>,
    },
    /// The answer to a ping.
    Pong,
    /// The session or the server ends. Always the last event.
    Closed(CloseReason),
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
    #[error("session failed; create a new one")]
    Failed,
    #[error("{}", Unanswered::ShuttingDown)]
    ShuttingDown,
}
