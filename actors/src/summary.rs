//! Snapshots of sessions and actors for people and REST.

use serde::Serialize;
use std::time::SystemTime;
use strum::{AsRefStr, Display, IntoStaticStr, VariantArray, VariantNames};
use thiserror::Error;
use utoipa::ToSchema;

use crate::config::SessionConfig;
use crate::event::{MessageId, SessionId};
use crate::handle::Unanswered;

/// Where a session is in its life.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    ToSchema,
    AsRefStr,
    Display,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SessionStatus {
    /// Takes images.
    Active,
    /// A generation runs.
    Processing,
    /// Finalized; takes nothing more.
    Completed,
    /// The last generation failed; it may be tried again.
    Error,
}

/// What there is to know about a session.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// The session.
    pub id: SessionId,
    /// When it was created.
    pub created_at: SystemTime,
    /// When anything last happened in it.
    pub last_activity: SystemTime,
    /// Where it is in its life.
    pub status: SessionStatus,
    /// Images that it holds.
    pub image_count: u32,
    /// Images that were received and are not stored yet.
    pub pending_images: usize,
    /// Bytes of the images that it holds.
    pub image_bytes: u64,
    /// Its parameters.
    pub config: SessionConfig,
    /// Connections at the moment.
    pub connections: usize,
    /// Requests that run or wait.
    pub requests: usize,
    /// Whether there is a result to fetch.
    pub has_result: bool,
    /// What the last generation failed with.
    pub error_message: Option<String>,
}

/// What there is to know about an image of a session.
#[derive(Debug, Clone)]
pub struct ImageSummary {
    /// What the client called its message.
    pub id: Option<MessageId>,
    /// The client's name for it, or one made up.
    pub name: String,
    /// Width of the prepared image in pixels.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// Why there is no small copy of an image.
#[derive(Debug, Error)]
pub enum ThumbnailFailed {
    /// The session does not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The image cannot be read any more.
    #[error("{0}")]
    Read(String),
    /// Something of ours went wrong.
    #[error("internal error: {0}")]
    Internal(String),
}

/// One actor of the live tree.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActorReport {
    /// The runtime's identifier.
    pub id: String,
    /// `supervisor`, `pool`, `worker` or `session`.
    pub kind: &'static str,
    /// Its name: a session's identifier, a worker's number.
    pub name: String,
    /// What it does, for example `idle`, `busy`, `loading`, `processing`.
    pub state: String,
    /// Seconds since it started.
    pub age_seconds: f64,
    /// Messages that it has handled.
    pub messages_handled: u64,
    /// Messages that wait in its mailbox.
    pub mailbox_depth: u64,
    /// Jobs that wait in its queue, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<usize>,
    /// How often it was restarted.
    pub restarts: u64,
    /// The device, of a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Seconds that it has worked on jobs, of a worker, over all its lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_seconds: Option<f64>,
    /// What it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_job: Option<JobReport>,
    /// What it failed with last, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The actors that it supervises.
    #[schema(no_recursion)]
    pub children: Vec<ActorReport>,
}

/// What an actor works on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JobReport {
    /// `encode` or `reconstruct`.
    pub kind: &'static str,
    /// For which session.
    #[schema(value_type = uuid::Uuid)]
    pub session_id: SessionId,
    /// Number of frames.
    pub frames: usize,
    /// For how long, in seconds.
    pub running_seconds: f64,
}
