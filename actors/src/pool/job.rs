//! A job on its way through the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::turn::Turn;
use crate::jobs::{JobDone, JobFailure, JobKind, JobSender, JobSpec};
use crate::metrics::{JobOutcome, PoolMetrics};

/// A job on its way through the pool. Whoever holds it must end it.
#[derive(Debug)]
pub(crate) struct Job {
    pub spec: Arc<JobSpec>,
    pub submitted: Instant,
    /// How often a worker has started it.
    pub attempts: u32,
    pub turn: Turn,
    sender: JobSender,
}

impl Job {
    /// `turn` is how long it may run at first while others wait.
    pub fn new(spec: JobSpec, sender: JobSender, turn: Duration) -> Self {
        Self {
            spec: Arc::new(spec),
            submitted: Instant::now(),
            attempts: 0,
            turn: Turn::new(turn),
            sender,
        }
    }

    pub fn is_cancelled(&self) -> bool {
        self.sender.reporter().is_cancelled()
    }

    pub fn sender(&self) -> &JobSender {
        &self.sender
    }

    /// Whether both are encoded in one call of the model if they run together.
    pub fn joins(&self, other: &Self) -> bool {
        self.spec.kind == JobKind::Encode
            && other.spec.kind == JobKind::Encode
            && self.spec.size == other.spec.size
    }

    /// Sends the last event and counts it.
    pub fn end(self, metrics: &PoolMetrics, outcome: Result<JobDone, JobFailure>) {
        metrics.job_ended(self.spec.kind, JobOutcome::of(&outcome));
        self.sender.end(outcome);
    }
}
