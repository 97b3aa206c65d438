//! Snapshots of sessions and actors, for REST and operators.

use std::sync::Arc;
use std::time::SystemTime;

use pointstream_reconstruction::image::Format;
use pointstream_reconstruction::quality::QualitySummary;
use serde::Serialize;
use strum::{Display, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::blobs::BlobView;
use crate::ids::{MessageId, SessionId};
use crate::remote::{NodeId, NodeRecord};
use crate::session_config::SessionConfig;

/// The state of a session, as the protocol names it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    IntoStaticStr,
    VariantArray,
    Serialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SessionStatus {
    /// Accepts images and requests.
    Active,
    /// A request runs.
    Processing,
    /// Finalized; accepts no more images and requests.
    Completed,
    /// The last request failed. It can be repeated.
    Error,
}

impl SessionStatus {
    /// The name in the protocol.
    pub fn wire_name(self) -> &'static str {
        self.into()
    }
}

/// The state of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum WorkerState {
    /// It failed and is not restarted yet.
    Down,
    /// It loads the model.
    Loading,
    /// It waits for a job.
    Idle,
    Busy,
}

/// A snapshot of a session.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    pub id: SessionId,
    pub created_at: SystemTime,
    /// Time of the last activity.
    pub last_activity: SystemTime,
    pub status: SessionStatus,
    /// Images that are stored.
    pub image_count: u32,
    /// Images that were received and are not stored yet.
    pub pending_images: usize,
    /// Size of the stored images in bytes, as the clients sent them.
    pub image_bytes: u64,
    pub config: SessionConfig,
    /// Clients that are connected now.
    pub connections: usize,
    /// Requests that run or wait.
    pub requests: usize,
    /// Whether there is a result to fetch.
    pub has_result: bool,
    /// The verdict on the newest result.
    pub quality: Option<QualitySummary>,
    /// Why the last request failed, until one succeeds.
    pub error_message: Option<String>,
}

/// An image of a session.
#[derive(Debug, Clone)]
pub struct ImageSummary {
    /// The client's identifier of its message.
    pub id: Option<MessageId>,
    /// The client's name of the image, or a generated one.
    pub name: Arc<str>,
    /// Width of the prepared image in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// An image as its client sent it.
#[derive(Debug, Clone)]
pub struct OriginalImage {
    pub bytes: BlobView,
    pub format: Format,
}

/// One actor of the live tree.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActorReport {
    /// The runtime's identifier.
    pub id: String,
    /// `supervisor`, `outbox`, `pool`, `worker` or `session`.
    pub kind: &'static str,
    /// A session's identifier, a worker's number.
    pub name: String,
    /// For example `idle`, `busy`, `loading`, `processing`.
    pub state: String,
    /// Seconds since it started.
    pub age_seconds: f64,
    pub messages_handled: u64,
    /// Messages that wait in its mailbox.
    pub mailbox_depth: u64,
    /// Jobs that wait in its queue, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<usize>,
    /// Restarts after a failure.
    pub restarts: u64,
    /// The device of a worker, with its machine if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The process of a worker of another machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeReport>,
    /// Seconds that a worker has been busy, restarts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_job: Option<JobReport>,
    /// Its last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The actors that it supervises.
    #[schema(no_recursion)]
    pub children: Vec<ActorReport>,
}

/// A worker process of another machine.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeReport {
    /// Identifies the process.
    #[schema(value_type = uuid::Uuid)]
    pub id: NodeId,
    /// The name of its machine.
    pub host: String,
    /// Version of the program.
    pub version: String,
    /// Its model, with the version.
    pub model: String,
    /// Which of its workers this is, counted from 0.
    pub worker: usize,
    /// Jobs of all servers that it has; frames that are encoded together count as one.
    pub jobs: usize,
    /// Whether it shuts down.
    pub is_ending: bool,
}

impl NodeReport {
    pub(crate) fn of(node: &NodeRecord, worker: usize) -> Self {
        Self {
            id: node.id,
            host: node.host.clone(),
            version: node.version.clone(),
            model: format!("{} {}", node.model, node.model_version),
            worker,
            jobs: node.assignments.values().sum(),
            is_ending: node.is_ending,
        }
    }
}

/// The current job of an actor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JobReport {
    /// `encode` or `reconstruct`.
    pub kind: &'static str,
    #[schema(value_type = uuid::Uuid)]
    pub session_id: SessionId,
    pub frames: usize,
    /// Seconds since it started.
    pub running_seconds: f64,
}
