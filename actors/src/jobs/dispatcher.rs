//! The interface that runs jobs.

use std::pin::Pin;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::Device;
use thiserror::Error;

use super::{Held, JobHandle, JobSpec};
use crate::blobs::BlobKey;
use crate::ids::SessionId;

/// Runs jobs of one model, on this machine or others. The implementation is responsible for
/// queueing, retries, time-outs and batching. No method blocks or waits.
///
/// Encoded frames are kept for later jobs, each by its blob at the size that it was last encoded at,
/// until [`forget`](Self::forget) drops them.
pub(crate) trait Dispatcher: Send + Sync {
    /// Takes a job, or ends it at once with a failure.
    fn submit(&self, spec: JobSpec) -> JobHandle;

    /// How many frames of this size one session should have submitted with
    /// [`JobKind::Encode`](super::JobKind::Encode) at the same time. 0 while the encoded frames
    /// could not be kept.
    fn encode_ahead_limit(&self, size: FrameSize) -> usize;

    /// Drops the encoded frames of a session.
    fn forget(&self, session: SessionId);

    /// Drops some encoded frames of a session, which no job will need soon.
    fn forget_frames(&self, session: SessionId, frames: &[BlobKey]);

    /// Drops the model's own maps of the frames of a session: they are in coordinates that the frames
    /// no longer have.
    fn forget_maps(&self, session: SessionId);

    /// Promises memory for a cloud of so many points that is made without a job, beside what jobs are promised.
    /// The future waits until it is there, for as long as a job may take.
    fn hold(&self, points: usize) -> Holding;

    /// The same for a mesh that takes so many bytes.
    fn hold_for_mesh(&self, bytes: u64) -> Holding;

    /// The same for a comparison of frames that takes so many bytes.
    fn hold_for_comparison(&self, bytes: u64) -> Holding;

    /// Whether jobs can run.
    fn status(&self) -> DispatcherStatus;
}

/// The wait for memory. Dropping it gives the place in the queue up.
pub(crate) type Holding = Pin<Box<dyn Future<Output = Result<Held, HoldFailed>> + Send>>;

/// Why there is no memory for a point cloud or a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HoldFailed {
    #[error("out of memory: {0}")]
    TooLarge(#[from] CloudTooLarge),
    #[error("out of memory: {0}")]
    MeshTooLarge(#[from] MeshTooLarge),
    #[error("out of memory: {0}")]
    ComparisonTooLarge(#[from] ComparisonTooLarge),
    #[error("a result waited {0} s for memory that others hold; try again later")]
    TimedOut(u64),
}

/// A point cloud would not fit into memory even if nothing else were in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a point cloud of {points} points needs about {} MB of memory, and the server has {} MB for it; run the \
     session again with a num_max_points of at most {fitting}",
    .needed.div_ceil(1_000_000),
    .limit / 1_000_000
)]
pub struct CloudTooLarge {
    pub points: usize,
    /// Bytes that it needs.
    pub needed: u64,
    /// Bytes that there are.
    pub limit: u64,
    /// Points that fit.
    pub fitting: u64,
}

/// A mesh would not fit into memory even if nothing else were in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "making a mesh of this result may need {} MB of memory, and the server has {} MB for it; fetch a format with \
     points, or run the session again with a smaller process_res or fewer photos",
    .needed.div_ceil(1_000_000),
    .limit / 1_000_000
)]
pub struct MeshTooLarge {
    /// Bytes that it needs.
    pub needed: u64,
    /// Bytes that there are.
    pub limit: u64,
}

/// A comparison of frames would not fit into memory even if nothing else were in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "comparing the frames needs about {} MB of memory, and the server has {} MB for it",
    .needed.div_ceil(1_000_000),
    .limit / 1_000_000
)]
pub struct ComparisonTooLarge {
    /// Bytes that it needs.
    pub needed: u64,
    /// Bytes that there are.
    pub limit: u64,
}

/// Whether jobs can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DispatcherStatus {
    pub workers: usize,
    /// Workers with a loaded model.
    pub ready_workers: usize,
    /// Why a worker failed, until it is ready again.
    pub failure: Option<String>,
    /// The device of each worker of this machine, and whether its model is loaded.
    pub local: Vec<(Device, bool)>,
    /// The devices of all workers, each once.
    pub devices: Vec<String>,
    /// The most frames that a worker of another machine encodes in one call, if one has room for them.
    pub remote_frames_per_call: Option<usize>,
}
