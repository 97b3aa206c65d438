//! Who does jobs.

use pointstream_reconstruction::geometry::FrameSize;

use super::{JobHandle, JobSpec};
use crate::ids::SessionId;

/// Does jobs of one model, on this machine or elsewhere. Queueing, retries, time-outs and batching
/// are behind it. Nothing here blocks or waits.
///
/// Encoded frames are kept for later jobs, by blob, size and model. [`forget`](Self::forget) ends
/// that.
pub(crate) trait Dispatcher: Send + Sync {
    /// Takes a job, or ends it at once with a failure.
    fn submit(&self, spec: JobSpec) -> JobHandle;

    /// How many frames of this size one session should have submitted with
    /// [`JobKind::Encode`](super::JobKind::Encode) at the same time. 0 while the encoded frames
    /// could not be kept.
    fn encode_ahead_limit(&self, size: FrameSize) -> usize;

    /// Drops what was kept of a session's frames.
    fn forget(&self, session: SessionId);

    /// Whether jobs can be done.
    fn status(&self) -> DispatcherStatus;
}

/// Whether jobs can be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DispatcherStatus {
    pub workers: usize,
    /// Workers with a loaded model.
    pub ready_workers: usize,
    /// Why a worker failed, until it is ready again.
    pub failure: Option<String>,
}
