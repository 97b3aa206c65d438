//! What happens to a job.

use pointstream_reconstruction::map::PlaceVector;
use pointstream_reconstruction::model::{AdjustedCamera, Step};
use serde::{Deserialize, Serialize};

use super::{Held, JobFailure};
use crate::blobs::BlobKey;

/// What happens to a job, in this order. [`Accepted`](Self::Accepted) and
/// [`Progress`](Self::Progress) start over if the job is retried; exactly one of
/// [`Done`](Self::Done) and [`Failed`](Self::Failed) comes last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum JobEvent {
    /// A worker has started it.
    Accepted,
    /// It waits again: its worker has failed, or it made way for others.
    Waiting,
    Progress(JobProgress),
    Done(JobDone),
    Failed(JobFailure),
}

/// Progress of a reconstruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobProgress {
    /// This many frames are encoded.
    Encoded { done: usize, total: usize },
    /// The model has reached a step.
    Model(Step),
}

/// A job has succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobDone {
    /// The prediction as a safetensors file, of [`JobKind::Reconstruct`](super::JobKind).
    /// The submitter of the job removes the blob.
    pub result: Option<BlobKey>,
    /// The vector of each frame of the job, if the model gives one.
    pub places: Vec<Option<PlaceVector>>,
    /// The camera of each frame of [`JobKind::Adjust`](super::JobKind) that was adjusted.
    #[serde(default)]
    pub adjusted: Vec<Option<AdjustedCamera>>,
    pub timings: JobTimings,
    /// The memory that was promised for the point cloud of the prediction. Whoever makes the cloud keeps it
    /// until the cloud is stored.
    #[serde(skip)]
    pub held: Held,
}

/// Seconds spent in the parts of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobTimings {
    /// Waiting for a worker.
    pub queued: f64,
    /// Reading frames.
    pub frames: f64,
    /// Encoding frames that were not encoded earlier.
    pub encode: f64,
    /// Cameras and depth.
    pub model: f64,
    /// Writing the prediction.
    pub store: f64,
}
