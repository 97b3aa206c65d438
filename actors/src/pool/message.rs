//! Messages of the pool.

use super::job::Job;
use super::worker::WorkerReport;
use crate::errors::RestartError;
use crate::mailbox::Reply;
use crate::report::ActorReport;

/// Messages of the pool.
pub(crate) enum PoolMessage {
    Submit(Job),
    /// A worker reports to its slot.
    Worker(WorkerReport),
    /// Start the worker of a slot again; its restart delay is over.
    Respawn(usize),
    /// Kill a worker and start it again. Answers whether there is such a worker.
    Restart(usize, Reply<Result<(), RestartError>>),
    /// Look for jobs that take too long. Sent by the pool to itself.
    CheckTimeouts,
    /// Report the workers.
    Report(Reply<ActorReport>),
    /// Accept no more jobs and end those that wait.
    Drain,
}
