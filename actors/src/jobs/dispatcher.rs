//! The interface that runs jobs.

use pointstream_reconstruction::geometry::FrameSize;

use super::{JobHandle, JobSpec};
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

    /// Whether jobs can run.
    fn status(&self) -> DispatcherStatus;
}

/// Whether jobs can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DispatcherStatus {
    pub workers: usize,
    /// Workers with a loaded model.
    pub ready_workers: usize,
    /// Why a worker failed, until it is ready again.
    pub failure: Option<String>,
}
