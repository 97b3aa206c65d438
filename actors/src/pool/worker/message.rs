//! Messages of a worker, and its reports to the pool.

use crate::pool::task::{Finished, TaskJob};
use crate::pool::thread::ThreadEvent;

/// Messages of a worker.
pub(crate) enum WorkerMessage {
    /// Do these jobs together. Sent only to an idle worker.
    Run(Vec<TaskJob>),
    /// The worker's thread reports.
    Thread(ThreadEvent),
}

/// A worker's report to the pool.
pub(crate) struct WorkerReport {
    pub index: usize,
    /// Which life of the worker reports.
    pub incarnation: u64,
    pub event: WorkerEvent,
}

/// What a worker reports.
pub(crate) enum WorkerEvent {
    /// The model is loaded.
    Ready,
    /// The batch is finished. If the model may be broken, the pool restarts the worker.
    Finished(Finished),
}
