//! Metrics of the actors, for operators.
//!
//! Metrics are updated as events happen, so that reading them needs no message to an actor.
//! No label has a value that a client chooses.

mod disk;
mod errors;
mod generations;
mod memory;
mod pool;
mod sessions;
mod webhooks;

use std::sync::Arc;

use prometheus::Registry;

pub(crate) use disk::DiskMetrics;
pub use errors::ErrorReport;
pub use generations::{Quantiles, StageLatencies};
pub(crate) use memory::{BudgetMetrics, MemoryMetrics};
pub(crate) use pool::{JobOutcome, PoolMetrics, WorkerMetrics};
pub(crate) use sessions::SessionShare;

use crate::error_kind::ErrorKind;
use crate::ids::SessionId;
use errors::ErrorMetrics;
use generations::GenerationMetrics;
use sessions::SessionMetrics;
use webhooks::WebhookMetrics;

/// All figures of one running system.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(crate) sessions: SessionMetrics,
    pub(crate) generations: GenerationMetrics,
    pub(crate) pool: PoolMetrics,
    pub(crate) memory: MemoryMetrics,
    pub(crate) disk: DiskMetrics,
    pub(crate) webhooks: WebhookMetrics,
    errors: ErrorMetrics,
}

/// Totals since the start.
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
    /// Generations that were cancelled because their session ended.
    pub generations_cancelled: u64,
    /// Workers that ended before the service did.
    pub worker_restarts: u64,
    /// Errors of all kinds.
    pub errors: u64,
}

/// Use of a memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes in use.
    pub used: u64,
    /// Limit in bytes.
    pub limit: u64,
}

impl Metrics {
    /// Registers the metrics, all zero.
    ///
    /// # Errors
    /// If two metrics have the same name, or a name is invalid.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        Ok(Arc::new(Self {
            sessions: SessionMetrics::new(&registry)?,
            generations: GenerationMetrics::new(&registry)?,
            pool: PoolMetrics::new(&registry)?,
            memory: MemoryMetrics::new(&registry)?,
            disk: DiskMetrics::new(&registry)?,
            webhooks: WebhookMetrics::new(&registry)?,
            errors: ErrorMetrics::new(&registry)?,
            registry,
        }))
    }

    /// The registry of the metrics, to add others and to gather all.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Records an error, with the session concerned.
    pub fn error(&self, kind: ErrorKind, session: Option<SessionId>, message: &str) {
        self.errors.record(kind, session, message);
    }

    /// The last errors, the newest first.
    pub fn recent_errors(&self) -> Vec<ErrorReport> {
        self.errors.recent()
    }

    /// Durations of the stages of the last generations.
    pub fn stage_latencies(&self) -> StageLatencies {
        self.generations.latencies()
    }

    /// Totals since the start.
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

    /// Memory of images that are being decoded.
    pub fn decode_memory(&self) -> MemoryUse {
        self.memory.decoding.in_use()
    }

    /// Memory that running jobs of the model on the CPU were promised.
    pub fn job_memory(&self) -> MemoryUse {
        self.memory.jobs.in_use()
    }

    /// Jobs that wait for a worker.
    pub fn queued_jobs(&self) -> u64 {
        self.pool.queued()
    }
}
