//! The pool: jobs by outcome, the queue, and the workers' time.

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_counter_vec_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};

use strum::{IntoStaticStr, VariantArray};

use crate::jobs::{JobDone, JobFailure, JobKind};
use crate::report::WorkerState;

/// Metrics of jobs, the queue and the workers.
#[derive(Debug)]
pub(crate) struct PoolMetrics {
    jobs: IntCounterVec,
    queued: IntGauge,
    capacity: IntGauge,
    workers: IntGaugeVec,
    busy: CounterVec,
    restarts_by_worker: IntCounterVec,
    pool_restarts: IntCounter,
    made_way: IntCounter,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum JobOutcome {
    Succeeded,
    Cancelled,
    Failed,
    OutOfMemory,
    TimedOut,
    WorkerDied,
    Refused,
    MadeWay,
}

impl JobOutcome {
    pub fn of(result: &Result<JobDone, JobFailure>) -> Self {
        match result {
            Ok(_) => Self::Succeeded,
            Err(JobFailure::Cancelled) => Self::Cancelled,
            Err(JobFailure::OutOfMemory(_) | JobFailure::Shortage(_) | JobFailure::MemoryBusy) => {
                Self::OutOfMemory
            }
            Err(
                JobFailure::Model(_)
                | JobFailure::Frame(_)
                | JobFailure::Prediction(_)
                | JobFailure::Store { .. },
            ) => Self::Failed,
            Err(JobFailure::WorkerDied(_)) => Self::WorkerDied,
            Err(JobFailure::TimedOut(_)) => Self::TimedOut,
            Err(
                JobFailure::QueueFull { .. }
                | JobFailure::SessionQueueFull { .. }
                | JobFailure::ClientQueueFull { .. }
                | JobFailure::NoWorker(_)
                | JobFailure::ShuttingDown,
            ) => Self::Refused,
            Err(JobFailure::MadeWay) => Self::MadeWay,
        }
    }
}

impl PoolMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let jobs = register_int_counter_vec_with_registry!(
            "pointstream_jobs_total",
            "Jobs of the model by kind and outcome.",
            &["kind", "outcome"],
            registry
        )?;
        for kind in JobKind::VARIANTS {
            for outcome in JobOutcome::VARIANTS {
                jobs.with_label_values::<&str>(&[kind.into(), outcome.into()]);
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
            made_way: register_int_counter_with_registry!(
                "pointstream_jobs_made_way_total",
                "How often a long job made way for the jobs of others.",
                registry
            )?,
        })
    }

    /// A long job made way for others.
    pub fn made_way(&self) {
        self.made_way.inc();
    }

    /// Sets how many jobs may wait.
    pub fn capacity(&self, jobs: usize) {
        self.capacity.set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }

    /// Sets how many jobs wait.
    pub fn queue(&self, jobs: usize) {
        self.queued.set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }

    /// Sets the number of workers in each state.
    pub fn workers(&self, states: impl Iterator<Item = WorkerState> + Clone) {
        for state in WorkerState::VARIANTS {
            let count = states.clone().filter(|one| one == state).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.workers
                .with_label_values::<&str>(&[state.into()])
                .set(count);
        }
    }

    /// A job has ended.
    pub fn job_ended(&self, kind: JobKind, outcome: JobOutcome) {
        self.jobs
            .with_label_values::<&str>(&[kind.into(), outcome.into()])
            .inc();
    }

    /// The pool failed and was restarted.
    pub fn pool_restarted(&self) {
        self.pool_restarts.inc();
    }

    pub fn pool_restarts(&self) -> u64 {
        self.pool_restarts.get()
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
    /// Seconds spent on jobs.
    pub busy: Counter,
    /// How often the worker ended before the service did.
    pub restarts: IntCounter,
}
