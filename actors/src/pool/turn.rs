//! How long a job may have a worker while others wait.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::jobs::{JobKind, JobSpec};

/// A job of at most so many frames always runs to its end. Sessions whose client leaves the choice to
/// the service have no longer ones but whole runs and adjustments.
const SHORT: usize = 24;

/// A long job's turn. After it the job makes way if another one is due; it begins again later, with
/// twice the time, so that it comes to its end however many wait.
#[derive(Debug)]
pub(super) struct Turn {
    length: Duration,
    /// Cancelled when the job is to make way.
    over: CancellationToken,
}

impl Turn {
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            over: CancellationToken::new(),
        }
    }

    /// Whether a job that has run for so long may be told to make way.
    pub fn may_end(&self, spec: &JobSpec, busy: Duration) -> bool {
        spec.kind != JobKind::Encode && spec.frames.len() > SHORT && busy >= self.length
    }

    pub fn end(&self) {
        self.over.cancel();
    }

    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Is cancelled when the job is to make way.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// The turn after this one.
    pub fn next(&self) -> Self {
        Self::new(self.length.saturating_mul(2))
    }
}
