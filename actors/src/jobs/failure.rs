//! Why a job has no result.

use pointstream_reconstruction::model::{ModelError, Shortage};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::blocking::WorkFailed;

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Error, Serialize, Deserialize)]
#[serde(tag = "reason", content = "detail", rename_all = "snake_case")]
pub(crate) enum JobFailure {
    /// The submitter dropped the handle.
    #[error("the prediction was cancelled")]
    Cancelled,
    /// Others waited for the worker, and the job is [`divisible`](super::JobSpec::divisible).
    #[error("the prediction made way for the requests of others")]
    MadeWay,
    /// The model failed or refused the frames.
    #[error("{0}")]
    Model(String),
    /// The device's memory was exhausted during the computation.
    #[error("{0}")]
    OutOfMemory(String),
    /// There is too little memory, so the computation was not started.
    #[error("{} images need more memory than is free", .0.frames)]
    Shortage(Shortage),
    /// Others have been promised the memory that it needs, and it does not wait.
    #[error("other jobs need the memory")]
    MemoryBusy,
    /// A frame's blob cannot be read.
    #[error("{0}")]
    Frame(String),
    /// What earlier jobs have stored cannot be read.
    #[error("an earlier prediction cannot be read: {0}")]
    Prediction(String),
    /// The prediction cannot be written.
    #[error("the prediction could not be stored: {message}")]
    Store {
        message: String,
        /// Whether the disk is full.
        disk_full: bool,
    },
    /// The worker failed, and again on the second attempt.
    #[error("the worker failed twice on this request: {0}")]
    WorkerDied(String),
    #[error(
        "the model took longer than {0} seconds and was stopped; use fewer images or a smaller process_res"
    )]
    TimedOut(u64),
    /// Too many jobs are waiting.
    #[error("the server is busy: {capacity} jobs are waiting; try again later")]
    QueueFull {
        /// Jobs that may wait before one of this priority is refused.
        capacity: usize,
    },
    /// Too many jobs of this session are waiting. Others may still have room.
    #[error(
        "the server is busy: no more than {limit} jobs of one session may wait; try again later"
    )]
    SessionQueueFull {
        /// Jobs of a session that may wait before one of this priority is refused.
        limit: usize,
    },
    /// Too many jobs of all sessions of this client are waiting. Others may still have room.
    #[error(
        "the server is busy: no more than {limit} jobs of one client may wait; try again later"
    )]
    ClientQueueFull {
        /// Jobs of a client that may wait before one of this priority is refused.
        limit: usize,
    },
    #[error("no worker is ready: {0}")]
    NoWorker(String),
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl From<WorkFailed> for JobFailure {
    fn from(failed: WorkFailed) -> Self {
        Self::WorkerDied(failed.to_string())
    }
}

impl From<&ModelError> for JobFailure {
    fn from(error: &ModelError) -> Self {
        match error {
            ModelError::Cancelled => Self::Cancelled,
            ModelError::OutOfMemory { .. } => Self::OutOfMemory(error.to_string()),
            _ => Self::Model(error.to_string()),
        }
    }
}
