//! Concurrency of pointstream: who owns what, and who may fail without whom.
//!
//! ```text
//! supervisor            makes sessions, removes their files however they end
//! ├── pool              one bounded queue of jobs for all sessions
//! │   └── worker *      each in front of a thread that owns a device and the model on it
//! └── session *         one per reconstruction: its images, its state, its clients
//! ```
//!
//! No HTTP and no geometry here. [`System`] is the door; [`Requests`] and [`Events`] are the two
//! halves of a client's connection to its session.
//!
//! No actor ever blocks or waits in its handler: files, decoding and the model are worked on
//! elsewhere and report back as messages.

mod config;
mod connection;
mod event;
mod features;
mod gauge;
mod handle;
mod mailbox;
mod memory;
mod metrics;
mod pool;
mod result_file;
mod session;
mod settings;
mod spool;
mod summary;
mod supervisor;
mod system;
mod workshop;

#[cfg(test)]
mod tests;

pub use config::{ConfigLimits, OutOfRange, PointOptions, Range, SessionConfig};
pub use connection::{AttachError, Delivery, Events, Requests, SessionNotFound};
pub use event::{
    Answer, AnswerKind, BadMessageId, ClientMessage, ClientMessageKind, CloseReason, LongName,
    MAX_NAME_BYTES, MessageId, Progress, ResultMetadata, SessionEvent, SessionEventKind, SessionId,
    Stage, Timings, check_name,
};
pub use handle::{OwnedSession, SessionHandle, Unanswered};
pub use memory::{MemoryBudget, MemoryLease};
pub use metrics::{ErrorKind, ErrorReport, MemoryUse, Metrics, Quantiles, StageLatencies, Totals};
pub use pointstream_reconstruction::formats::{ResultFormat, UnknownFormat};
pub use result_file::{ResultFile, ResultFileError};
pub use settings::Settings;
pub use spool::DataDirError;
pub use summary::{
    ActorReport, ImageSummary, JobReport, SessionStatus, SessionSummary, ThumbnailFailed,
};
pub use supervisor::{CreateSessionError, DeleteSessionError};
pub use system::{Readiness, StartError, System};
