//! Messages of the pool.

use std::sync::Arc;

use super::job::Job;
use super::worker::WorkerReport;
use crate::errors::RestartError;
use crate::ids::JobId;
use crate::mailbox::Reply;
use crate::remote::NodeRecord;
use crate::report::ActorReport;

/// Messages of the pool.
pub(crate) enum PoolMessage {
    Submit(Job),
    /// Jobs that came together: those that only encode frames may share a call.
    SubmitAll(Vec<Job>),
    /// Tell a job to make way for others.
    MakeWay(JobId),
    /// The nodes of other machines have changed.
    Nodes(Vec<Arc<NodeRecord>>),
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
