//! The actors of pointstream: ownership of state, concurrency, and isolation of failures.
//!
//! ```text
//! supervisor            creates sessions, and removes their files however they end
//! ├── outbox            keeps the messages of webhooks, and has them delivered
//! ├── pool              one bounded, fair queue of jobs for all sessions
//! │   └── worker *      each in front of a thread that owns a device and the model on it
//! └── session *         one per reconstruction: its images, its state, its clients
//! ```
//!
//! There is no HTTP and no geometry here. [`System`] is the entry point; [`Requests`] and
//! [`Events`] are the two halves of a client's connection to its session.
//!
//! All actors have the same structure: `XArgs` has the arguments of `X::spawn`, `XMessage` the
//! messages and `State` the state. No actor blocks or waits for work in its handler: files, decoding
//! and the model are processed on other threads, which report their outcome as a message. A handler
//! awaits only the start of another actor.

#![warn(clippy::unwrap_used)]

mod actor_status;
mod answer;
mod blobs;
mod blocking;
mod client;
mod client_message;
mod creator;
mod data_folder;
mod decode_memory;
mod error_code;
mod error_kind;
mod errors;
mod frames;
mod handle;
mod ids;
mod jobs;
mod journal;
mod log_rate;
mod mailbox;
mod memory;
mod metrics;
mod outbox;
mod pool;
mod remote;
mod report;
mod session;
mod session_config;
mod session_event;
mod settings;
mod sharing;
mod sqlite;
mod stored;
mod supervisor;
mod system;
mod turns;
mod updates;
mod upload_memory;

#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerKind, ResultFile, ResultMetadata, SharedText, Timings};
pub use blobs::{BlobView, DataDirError, DiskLimits, Pieces, free_bytes};
pub use client::{Delivery, Events, Requests};
pub use client_message::{
    BadName, ClientMessage, ClientMessageKind, ImageUpload, MAX_NAME_BYTES, OnCancelled, check_name,
};
pub use creator::{Creator, Whose};
pub use data_folder::{DataFolder, DataFolderError, SessionProblem, StoredSession};
pub use error_code::ErrorCode;
pub use error_kind::ErrorKind;
pub use errors::{
    AttachError, CreateSessionError, DeleteSessionError, NotCompleted, RestartError,
    ResultFileError, SessionNotFound, StorageFailed, StoredImageError, TakeOverError, Unanswered,
};
pub use handle::{OwnedSession, SessionHandle};
pub use ids::{BadMessageId, MessageId, SessionId};
pub use jobs::{CloudTooLarge, ComparisonTooLarge, HoldFailed, MeshTooLarge};
pub use journal::Durability;
pub use metrics::{ErrorReport, MemoryUse, Metrics, Quantiles, StageLatencies, Totals};
pub use outbox::{
    Attempt, AttemptOutcome, Courier, Delivering, DeliveryFilter, DeliveryReport, DeliveryState,
    Event as WebhookEvent, EventContent, EventType, Letter, OperatorWebhook, OutboxCounts,
    OutboxError, Webhook, WebhookError, WebhookSecret,
};
pub use pointstream_reconstruction::formats::{ResultFormat, UnknownFormat};
pub use pointstream_reconstruction::quality::{Quality, QualityReason, QualitySummary, Verdict};
pub use remote::{
    BadBlobPlace, BlobPlace, LinkError, NatsSettings, Node, NodeId, NodeRecord, NodeSettings,
    NodeStartError, NodeStatus,
};
pub use report::{
    ActorReport, ImageSummary, JobReport, NodeReport, OriginalImage, SessionStatus, SessionSummary,
};
pub use session_config::{
    ConfigLimits, FinalizeMode, OutOfRange, PointOptions, Range, SessionConfig, UnknownFinalizeMode,
};
pub use session_event::{CloseReason, Progress, SessionEvent, Stage};
pub use settings::{PoolSettings, Settings};
pub use sharing::{GatewayRecord, Location, SharingError, SharingSettings};
pub use system::{Readiness, StartError, System};
pub use updates::{
    AppendMetadata, AttachOptions, Deltas, DeltasKind, FramePose, KeptPoints, MapPoses,
    UnknownDeltas,
};
pub use upload_memory::{UploadLease, UploadMemory};
