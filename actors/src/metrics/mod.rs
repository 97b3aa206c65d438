//! What the actors count and measure, for operators.
//!
//! Everything is kept as it happens, so that it can be read at any time without asking an actor.
//! No label has a value that a client chooses.

mod errors;
mod generations;
mod memory;
mod pool;
mod sessions;

use std::sync::Arc;

use prometheus::Registry;

pub use errors::ErrorReport;
pub use generations::{Quantiles, StageLatencies};
pub(crate) use memory::BudgetMetrics;
pub(crate) use pool::{JobOutcome, PoolMetrics, WorkerMetrics};
pub(crate) use sessions::SessionShare;

use crate::error_kind::ErrorKind;
use crate::ids::SessionId;
use errors::ErrorMetrics;
use generations::GenerationMetrics;
use memory::MemoryMetrics;
use sessions::SessionMetrics;

/// All figures of one running system.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(crate) sessions: SessionMetrics,
    pub(crate) generations: GenerationMetrics,
    pub(crate) pool: PoolMetrics,
    pub(crate) memory: MemoryMetrics,
    errors: ErrorMetrics,
}

/// What has happened since the start, and what is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Sessions that were created.
    pub sessions: u64,
    /// Images that were accepted.
    pub images: u64,
    /// Bytes of these images.
    pub image_bytes: u64,
    /// Generations that gave a result.
    pub generations_succeeded: u64,
    /// Generations that ended with an error.
    pub generations_failed: u64,
    /// Generations whose session ended before them.
    pub generations_cancelled: u64,
    /// Lives of workers that ended before the service did.
    pub worker_restarts: u64,
    /// Errors of all kinds.
    pub errors: u64,
}

/// A part of the memory that has a bound of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that may be in use.
    pub limit: u64,
}

impl Metrics {
    /// Figures that are all zero.
    ///
    /// # Errors
    /// If two metrics have the same name or one has no valid one.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        Ok(Arc::new(Self {
            sessions: SessionMetrics::new(&registry)?,
            generations: GenerationMetrics::new(&registry)?,
            pool: PoolMetrics::new(&registry)?,
            memory: MemoryMetrics::new(&registry)?,
            errors: ErrorMetrics::new(&registry)?,
            registry,
        }))
    }

    /// Where the metrics are registered, for others to add theirs and to gather all.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Notes an error, with the session that it concerns.
    pub fn error(&self, kind: ErrorKind, session: Option<SessionId>, message: &str) {
        self.errors.record(kind, session, message);
    }

    /// The errors of late, the newest first.
    pub fn recent_errors(&self) -> Vec<ErrorReport> {
        self.errors.recent()
    }

    /// How long the parts of the generations of late took.
    pub fn stage_latencies(&self) -> StageLatencies {
        self.generations.latencies()
    }

    /// What has happened since the start.
    pub fn totals(&self) -> Totals {
        let generations = self.generations.outcomes();
        Totals {
            sessions: self.sessions.created(),
            images: self.sessions.images_accepted(),
            image_bytes: self.sessions.image_bytes(),
            generations_succeeded: generations.succeeded,
            generations_failed: generations.failed,
            generations_cancelled: generations.cancelled,
            worker_restarts: self.pool.restarts(),
            errors: self.errors.total(),
        }
    }

    /// Memory of images between the socket and the disk.
    pub fn upload_memory(&self) -> MemoryUse {
        self.memory.uploads.in_use()
    }

    /// Memory of encoded frames that wait for a generation.
    pub fn feature_memory(&self) -> MemoryUse {
        self.memory.features.in_use()
    }

    /// Jobs that wait for a worker.
    pub fn queued_jobs(&self) -> u64 {
        self.pool.queued()
    }
}
