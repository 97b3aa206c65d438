//! Tells a model in the middle of a call that its work is not wanted now.

use pointstream_reconstruction::model::StopFlag;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Sets a flag as soon as a job is cancelled or makes way, or its worker has ended.
pub(crate) struct Watch {
    stop: StopFlag,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    pub fn start(
        cancelled: CancellationToken,
        abandoned: CancellationToken,
        turn_over: CancellationToken,
    ) -> Self {
        let stop = StopFlag::default();
        let set = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = abandoned.cancelled() => {}
                () = turn_over.cancelled() => {}
            }
            set.set();
        });
        Self {
            stop,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn stop(&self) -> &StopFlag {
        &self.stop
    }
}
