//! How long a job may have a worker while others wait.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::jobs::{JobKind, JobSpec};

/// A job of at most so many frames always runs to its end. Sessions whose client leaves the choice to
/// the service have no longer ones but whole runs and adjustments.
const SHORT: usize = 24;

/// A job that was told to make way and computes on for longer than this cannot stop. Another one may be told
/// then.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// A long job's turn. After it the job makes way if another one is due; it begins again later, with
/// twice the time, so that it comes to its end however many wait.
#[derive(Debug)]
pub(crate) struct Turn {
    length: Duration,
    clock: TurnClock,
    /// When the job was told to make way.
    told: OnceLock<Instant>,
}

/// The part of a turn that the worker's thread has. Clones belong to the same turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct TurnClock {
    /// When the job began to compute: waiting for memory is no part of its turn.
    began: Arc<OnceLock<Instant>>,
    /// Cancelled when the job is to make way.
    over: CancellationToken,
}

impl Turn {
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            clock: TurnClock::default(),
            told: OnceLock::new(),
        }
    }

    /// Whether the job may be told to make way now.
    pub fn may_end(&self, spec: &JobSpec) -> bool {
        let is_long = spec.kind != JobKind::Encode && spec.frames.len() > SHORT;
        let began = self.clock.began.get();
        is_long && began.is_some_and(|began| began.elapsed() >= self.length)
    }

    /// Tells the job to make way.
    pub fn end(&self) {
        self.told.get_or_init(Instant::now);
        self.clock.over.cancel();
    }

    /// Whether the job was told to make way.
    pub fn is_over(&self) -> bool {
        self.clock.over.is_cancelled()
    }

    /// Whether the job was told to make way, and is about to.
    pub fn is_ending(&self) -> bool {
        let told = self.told.get();
        told.is_some_and(|told| told.elapsed() < STOP_PATIENCE)
    }

    pub fn clock(&self) -> &TurnClock {
        &self.clock
    }

    /// The turn after this one.
    pub fn next(&self) -> Self {
        Self::new(self.length.saturating_mul(2))
    }
}

impl TurnClock {
    /// The job begins to compute.
    pub fn begin(&self) {
        self.began.get_or_init(Instant::now);
    }

    /// Is cancelled when the job is to make way.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }
}
