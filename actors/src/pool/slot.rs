//! A worker's place in the pool, which outlives the worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pointstream_reconstruction::model::Device;
use ractor::{ActorCell, SpawnErr};

use super::PoolMessage;
use super::job::Job;
use super::worker::{Worker, WorkerArgs, WorkerMessage};
use crate::gauge::Gauge;
use crate::mailbox::Mailbox;
use crate::metrics::WorkerMetrics;
use crate::settings::Settings;

/// The longest pause before a worker that keeps failing is started again.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(30);

/// A worker's place.
pub(super) struct Slot {
    /// Its number.
    index: usize,
    /// Where its worker runs.
    pub device: Device,
    /// Which life the worker lives.
    pub incarnation: u64,
    /// What people see of it.
    pub gauge: Arc<Gauge>,
    /// Failures in a row without having been ready in between.
    pub failures: u32,
    /// What the worker failed with, until it is ready again.
    pub last_failure: Option<String>,
    worker: Option<Mailbox<WorkerMessage>>,
    phase: Phase,
    metrics: WorkerMetrics,
    /// Up to when the worker's time is counted.
    counted: Instant,
}

/// What the worker does.
enum Phase {
    /// There is none, or its model is in doubt and it ends.
    Down,
    /// Loads the model.
    Loading,
    /// Waits for a job.
    Idle,
    /// Works.
    Busy(Box<Job>, Instant),
}

impl Slot {
    /// A place without a worker yet.
    pub fn new(index: usize, device: Device, metrics: WorkerMetrics) -> Self {
        let gauge = Gauge::new("worker", index.to_string());
        gauge.device(device.to_string());
        gauge.busy(metrics.busy.get());
        Self {
            index,
            device,
            incarnation: 0,
            gauge,
            failures: 0,
            last_failure: None,
            worker: None,
            phase: Phase::Down,
            metrics,
            counted: Instant::now(),
        }
    }

    /// Starts the worker's next life.
    pub async fn spawn(
        &mut self,
        settings: &Settings,
        pool: &Mailbox<PoolMessage>,
    ) -> Result<(), SpawnErr> {
        self.incarnation += 1;
        let args = WorkerArgs {
            index: self.index,
            incarnation: self.incarnation,
            model: settings.model.clone(),
            device: self.device,
            frames_per_call: settings.frames_per_call,
            gauge: self.gauge.clone(),
            pool: pool.clone(),
        };
        match Worker::spawn(args, pool.actor().get_cell()).await {
            Ok(worker) => {
                self.worker = Some(worker);
                self.enter(Phase::Loading);
                Ok(())
            }
            Err(error) => {
                self.failures += 1;
                self.last_failure = Some(error.to_string());
                self.gauge.error(error.to_string());
                Err(error)
            }
        }
    }

    /// Whether the worker waits for a job.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether the worker has loaded its model.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Busy(..))
    }

    /// Whether this is the actor of its worker.
    pub fn is_actor(&self, actor: &ActorCell) -> bool {
        self.worker
            .as_ref()
            .is_some_and(|worker| worker.actor().get_id() == actor.get_id())
    }

    /// How long the worker has been at its job.
    pub fn busy_for(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Busy(_, since) => Some(since.elapsed()),
            _ => None,
        }
    }

    /// Counts the time of a running job up to now, so that a long one shows while it runs.
    pub fn count_time(&mut self) {
        let now = Instant::now();
        if matches!(self.phase, Phase::Busy(..)) {
            let busy = now.duration_since(self.counted);
            self.metrics.busy.inc_by(busy.as_secs_f64());
            self.gauge.busy(self.metrics.busy.get());
        }
        self.counted = now;
    }

    /// What the worker does, in one word.
    pub fn state(&self) -> &'static str {
        match self.phase {
            Phase::Down => "down",
            Phase::Loading => "loading",
            Phase::Idle => "idle",
            Phase::Busy(..) => "busy",
        }
    }

    /// The model is loaded.
    pub fn became_ready(&mut self) {
        self.failures = 0;
        self.last_failure = None;
        self.enter(Phase::Idle);
    }

    /// Gives the idle worker a job, or the job back if the worker is gone.
    pub fn give(&mut self, mut job: Job) -> Result<(), Box<Job>> {
        let message = WorkerMessage::Run {
            work: job.work.clone(),
            cancelled: job.cancelled.clone(),
            queued: super::seconds_since(job.submitted),
        };
        match self.worker.as_ref().map(|worker| worker.cast(message)) {
            Some(Ok(())) => {
                job.attempts += 1;
                self.enter(Phase::Busy(Box::new(job), Instant::now()));
                Ok(())
            }
            Some(Err(_)) | None => {
                self.enter(Phase::Down);
                Err(Box::new(job))
            }
        }
    }

    /// The worker is done with its job. One whose model is in doubt gets no other: it ends.
    pub fn finished(&mut self, in_doubt: bool) -> Option<Box<Job>> {
        let job = self.take_job();
        self.enter(if in_doubt { Phase::Down } else { Phase::Idle });
        job
    }

    /// Takes the job away from the worker, which is of no use until it is started again.
    pub fn take_job(&mut self) -> Option<Box<Job>> {
        self.count_time();
        match std::mem::replace(&mut self.phase, Phase::Down) {
            Phase::Busy(job, _) => Some(job),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// The worker's actor ended; gives the job that was lost with it.
    pub fn ended(&mut self, reason: &str) -> Option<Job> {
        self.worker = None;
        let job = self.take_job();
        // A worker that had been ready starts afresh; only failing to get ready counts up.
        if matches!(self.phase, Phase::Loading) {
            self.failures += 1;
        }
        self.last_failure = Some(reason.to_owned());
        self.gauge.restarted(Some(reason.to_owned()));
        self.metrics.restarts.inc();
        self.enter(Phase::Down);
        job.map(|job| *job)
    }

    /// How long to wait before the next life: at once the first time, then ever longer.
    pub fn restart_delay(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => MAX_RESTART_DELAY.min(Duration::from_secs(1 << failures.min(6)) / 2),
        }
    }

    /// Kills the worker's actor; answers whether there was one.
    pub fn kill(&self) -> bool {
        match &self.worker {
            Some(worker) => {
                worker.actor().kill();
                true
            }
            None => false,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.count_time();
        self.phase = phase;
        self.gauge.state(self.state());
        self.gauge.job(match &self.phase {
            Phase::Busy(job, _) => Some(job.current()),
            _ => None,
        });
    }
}
