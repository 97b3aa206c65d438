//! The pool: jobs by outcome, the queue, and the workers' time.

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_counter_vec_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};

use crate::pool::job::{JobError, JobOutput};
use pointstream_reconstruction::model::ModelError;

/// Counts jobs and what the workers do.
#[derive(Debug)]
pub(crate) struct PoolMetrics {
    jobs: IntCounterVec,
    queued: IntGauge,
    capacity: IntGauge,
    workers: IntGaugeVec,
    busy: CounterVec,
    restarts_by_worker: IntCounterVec,
    pool_restarts: IntCounter,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobOutcome {
    Succeeded,
    Cancelled,
    Failed,
    OutOfMemory,
    TimedOut,
    WorkerDied,
    Refused,
}

impl JobOutcome {
    const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Cancelled,
        Self::Failed,
        Self::OutOfMemory,
        Self::TimedOut,
        Self::WorkerDied,
        Self::Refused,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::OutOfMemory => "out_of_memory",
            Self::TimedOut => "timed_out",
            Self::WorkerDied => "worker_died",
            Self::Refused => "refused",
        }
    }

    /// What a job's result counts as.
    pub fn of(result: &Result<JobOutput, JobError>) -> Self {
        match result {
            Ok(_) => Self::Succeeded,
            Err(JobError::Model(ModelError::Cancelled)) => Self::Cancelled,
            Err(JobError::Model(ModelError::OutOfMemory { .. }) | JobError::Memory(_)) => {
                Self::OutOfMemory
            }
            Err(JobError::Model(_) | JobError::Frame(_) | JobError::Joined(_)) => Self::Failed,
            Err(JobError::WorkerDied(_)) => Self::WorkerDied,
            Err(JobError::TimedOut(_)) => Self::TimedOut,
            Err(JobError::QueueFull { .. } | JobError::NoWorker(_) | JobError::ShuttingDown) => {
                Self::Refused
            }
        }
    }
}

/// States of a worker, as its gauge names them.
const WORKER_STATES: [&str; 4] = ["down", "loading", "idle", "busy"];
/// Kinds of jobs.
const JOB_KINDS: [&str; 2] = ["encode", "reconstruct"];

impl PoolMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let jobs = register_int_counter_vec_with_registry!(
            "pointstream_jobs_total",
            "Jobs of the model by kind and outcome.",
            &["kind", "outcome"],
            registry
        )?;
        for kind in JOB_KINDS {
            for outcome in JobOutcome::ALL {
                jobs.with_label_values(&[kind, outcome.name()]);
            }
        }
        let labels = &["worker", "device"];
        Ok(Self {
            jobs,
            queued: register_int_gauge_with_registry!(
                "pointstream_queued_jobs",
                "Jobs that wait for a worker.",
                registry
            )?,
            capacity: register_int_gauge_with_registry!(
                "pointstream_queue_capacity_jobs",
                "Jobs that may wait for a worker.",
                registry
            )?,
            workers: register_int_gauge_vec_with_registry!(
                "pointstream_workers",
                "Workers by state.",
                &["state"],
                registry
            )?,
            busy: register_counter_vec_with_registry!(
                "pointstream_worker_busy_seconds_total",
                "Time that workers have spent on jobs.",
                labels,
                registry
            )?,
            restarts_by_worker: register_int_counter_vec_with_registry!(
                "pointstream_worker_restarts_total",
                "Lives of workers that ended before the service did.",
                labels,
                registry
            )?,
            pool_restarts: register_int_counter_with_registry!(
                "pointstream_pool_restarts_total",
                "How often the pool of workers failed and was started again.",
                registry
            )?,
        })
    }

    /// Notes how many jobs may wait.
    pub fn capacity(&self, jobs: usize) {
        self.capacity.set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }

    /// Notes how many jobs wait.
    pub fn queue(&self, jobs: usize) {
        self.queued.set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }

    /// Notes what the workers do.
    pub fn workers<'a>(&self, states: impl Iterator<Item = &'a str> + Clone) {
        for state in WORKER_STATES {
            let count = states.clone().filter(|one| *one == state).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.workers.with_label_values(&[state]).set(count);
        }
    }

    /// Notes the end of jobs that were done together.
    pub fn jobs_ended(&self, kind: &str, outcome: JobOutcome, jobs: usize) {
        self.jobs
            .with_label_values(&[kind, outcome.name()])
            .inc_by(jobs as u64);
    }

    /// Notes that the pool failed.
    pub fn restarted(&self) {
        self.pool_restarts.inc();
    }

    /// The figures of one worker.
    pub fn worker(&self, index: usize, device: &str) -> WorkerMetrics {
        let index = index.to_string();
        let labels = [index.as_str(), device];
        WorkerMetrics {
            busy: self.busy.with_label_values(&labels),
            restarts: self.restarts_by_worker.with_label_values(&labels),
        }
    }

    pub fn queued(&self) -> u64 {
        u64::try_from(self.queued.get()).unwrap_or(0)
    }

    pub fn restarts(&self) -> u64 {
        let families = self.restarts_by_worker.collect();
        let metrics = families.iter().flat_map(|family| family.get_metric());
        metrics
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }
}

/// The figures of one worker, kept over its restarts.
#[derive(Debug, Clone)]
pub(crate) struct WorkerMetrics {
    /// Seconds that it has worked.
    pub busy: Counter,
    /// Lives that ended.
    pub restarts: IntCounter,
}
