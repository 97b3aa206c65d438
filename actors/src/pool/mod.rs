//! The pool: one bounded queue of jobs for all sessions and the workers that take them.
//!
//! The pool supervises its workers. One that panics, is killed or whose model call failed is
//! started again alone; a job that was lost with its worker is tried once more. Every job gets
//! exactly one reply.

pub(crate) mod job;
mod slot;
mod task;
mod thread;
mod worker;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::watch;

use crate::gauge::Gauge;
use crate::mailbox::{Mailbox, Reply, answer};
use crate::metrics::{ErrorKind, Metrics};
use crate::settings::Settings;
use crate::summary::ActorReport;
use job::{Job, JobError};
use slot::Slot;
use worker::{WorkerEvent, WorkerReport};

/// How often a job may be taken up: once more after its worker died.
const MAX_ATTEMPTS: u32 = 2;
/// How often the pool looks for jobs that take too long.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// A worker that failed this often in a row without getting ready cannot load the model.
const HOPELESS_FAILURES: u32 = 3;

/// Where the pool is found, also after it was started again.
pub(crate) type PoolAddress = watch::Receiver<Mailbox<PoolMessage>>;

/// What the pool is told.
pub(crate) enum PoolMessage {
    /// Do this.
    Submit(Job),
    /// A worker reports.
    Worker(WorkerReport),
    /// Start a worker again whose time has come.
    Respawn(usize),
    /// Kill a worker and start it again; answers whether there is such a worker.
    Restart(usize, Reply<bool>),
    /// Look for jobs that take too long.
    Watch,
    /// Show the workers.
    Report(Reply<ActorReport>),
    /// Take nothing more; answer what waits that the system ends.
    Drain,
}

/// Figures that everybody may read at any time.
#[derive(Debug, Default)]
pub(crate) struct PoolStatus {
    /// Workers with a loaded model.
    pub ready: AtomicUsize,
    /// What a worker failed with while none is ready.
    pub failure: std::sync::Mutex<Option<String>>,
}

/// The actor.
pub(crate) struct Pool;

/// What it needs.
pub(crate) struct PoolArgs {
    /// Devices, model and bounds.
    pub settings: Arc<Settings>,
    /// Where it shows how many workers are ready.
    pub status: Arc<PoolStatus>,
    /// Its gauge.
    pub gauge: Arc<Gauge>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Its state.
pub(crate) struct PoolState {
    settings: Arc<Settings>,
    status: Arc<PoolStatus>,
    mailbox: Mailbox<PoolMessage>,
    queue: VecDeque<Job>,
    slots: Vec<Slot>,
    draining: bool,
    metrics: Arc<Metrics>,
}

impl Pool {
    /// Starts the pool and its workers under the supervisor.
    pub async fn spawn(
        args: PoolArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<PoolMessage>, SpawnErr> {
        let gauge = args.gauge.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, gauge))
    }
}

impl PoolState {
    async fn handle(&mut self, message: PoolMessage) {
        match message {
            PoolMessage::Submit(job) => self.submit(job),
            PoolMessage::Worker(report) => self.on_worker(report),
            PoolMessage::Respawn(index) => self.spawn_worker(index).await,
            PoolMessage::Restart(index, reply) => answer(reply, self.restart(index)),
            PoolMessage::Watch => self.watch(),
            PoolMessage::Report(reply) => {
                let mut report = self.mailbox.gauge().report();
                report.children = self.slots.iter().map(|slot| slot.gauge.report()).collect();
                answer(reply, report);
            }
            PoolMessage::Drain => self.drain(),
        }
        self.dispatch();
        self.publish();
    }

    fn submit(&mut self, job: Job) {
        let refusal = if self.draining {
            Some(JobError::ShuttingDown)
        } else if self.queue.len() >= self.room_for(&job) {
            Some(JobError::QueueFull {
                capacity: self.settings.queue_capacity,
            })
        } else {
            self.hopeless().map(JobError::NoWorker)
        };
        match refusal {
            Some(error) => job.answer(&self.metrics.pool, Err(error)),
            None => self.queue.push_back(job),
        }
    }

    /// Up to how many jobs may wait for this one to be taken. Frames that are encoded ahead leave room
    /// for what clients wait for: a reconstruction encodes what was refused here.
    fn room_for(&self, job: &Job) -> usize {
        let capacity = self.settings.queue_capacity;
        match job.encoded_size() {
            Some(_) => capacity / 2,
            None => capacity,
        }
    }

    /// Gives waiting jobs to idle workers, the oldest first.
    fn dispatch(&mut self) {
        for slot in &mut self.slots {
            while slot.is_idle() {
                let Some(mut job) = self.queue.pop_front() else {
                    return;
                };
                if job.cancelled.load(Ordering::Relaxed) {
                    let cancelled = pointstream_reconstruction::model::ModelError::Cancelled;
                    job.answer(&self.metrics.pool, Err(cancelled.into()));
                    continue;
                }
                if let Some(size) = job.encoded_size() {
                    let most_frames = self.settings.frames_per_call(slot.device, size);
                    join_waiting(&mut self.queue, &mut job, most_frames);
                }
                if let Err(job) = slot.give(job) {
                    // The worker has just died; its supervision event will follow.
                    self.queue.push_front(*job);
                    break;
                }
            }
        }
    }

    fn on_worker(&mut self, report: WorkerReport) {
        let Some(slot) = self.slots.get_mut(report.index) else {
            return;
        };
        if slot.incarnation != report.incarnation {
            return;
        }
        match report.event {
            WorkerEvent::Ready => {
                tracing::info!(worker = report.index, device = %slot.device, "worker is ready");
                slot.became_ready();
            }
            WorkerEvent::Finished(result) => {
                let in_doubt = result.as_ref().is_err_and(JobError::needs_restart);
                if let Some(job) = slot.finished(in_doubt) {
                    job.answer(&self.metrics.pool, result);
                }
            }
        }
    }

    /// A worker's actor ended, for whatever reason.
    fn on_worker_end(&mut self, actor: &ActorCell, reason: &str) {
        let Some(index) = self.slots.iter().position(|slot| slot.is_actor(actor)) else {
            return;
        };
        let slot = &mut self.slots[index];
        let lost = slot.ended(reason);
        if self.draining {
            if let Some(job) = lost {
                job.answer(&self.metrics.pool, Err(JobError::ShuttingDown));
            }
            return;
        }
        let delay = slot.restart_delay();
        tracing::error!(worker = index, %reason, ?delay, "worker failed and is started again");
        let session = lost.as_ref().map(|job| job.session);
        self.metrics.error(ErrorKind::Worker, session, reason);
        self.mailbox.cast_after(delay, PoolMessage::Respawn(index));
        if let Some(job) = lost {
            self.retry(job, reason);
        }
        if let Some(reason) = self.hopeless() {
            for job in self.queue.drain(..) {
                job.answer(&self.metrics.pool, Err(JobError::NoWorker(reason.clone())));
            }
        }
    }

    fn retry(&mut self, job: Job, reason: &str) {
        if job.attempts < MAX_ATTEMPTS {
            self.queue.push_front(job);
        } else {
            job.answer(
                &self.metrics.pool,
                Err(JobError::WorkerDied(reason.to_owned())),
            );
        }
    }

    /// Why no worker will take a job, if that is so.
    fn hopeless(&self) -> Option<String> {
        self.slots
            .iter()
            .all(|slot| slot.failures >= HOPELESS_FAILURES)
            .then(|| {
                self.slots
                    .iter()
                    .find_map(|slot| slot.last_failure.clone())
                    .unwrap_or_else(|| "unknown reason".to_owned())
            })
    }

    async fn spawn_worker(&mut self, index: usize) {
        if self.draining {
            return;
        }
        let (mailbox, settings) = (self.mailbox.clone(), self.settings.clone());
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if let Err(error) = slot.spawn(&settings, &mailbox).await {
            let delay = slot.restart_delay();
            tracing::error!(worker = index, %error, ?delay, "worker cannot be started");
            self.metrics
                .error(ErrorKind::Worker, None, &error.to_string());
            self.mailbox.cast_after(delay, PoolMessage::Respawn(index));
        }
    }

    fn restart(&mut self, index: usize) -> bool {
        let found = self.slots.get(index).is_some_and(Slot::kill);
        if found {
            tracing::warn!(worker = index, "worker is restarted by the operator");
        }
        found
    }

    /// Gives up jobs that take too long; their workers are killed and started again.
    fn watch(&mut self) {
        let limit = self.settings.job_timeout;
        for slot in &mut self.slots {
            slot.count_time();
            if slot.busy_for().is_some_and(|busy| busy > limit)
                && let Some(job) = slot.take_job()
            {
                job.answer(&self.metrics.pool, Err(JobError::TimedOut(limit.as_secs())));
                slot.kill();
            }
        }
        self.mailbox.cast_after(WATCH_INTERVAL, PoolMessage::Watch);
    }

    fn drain(&mut self) {
        self.draining = true;
        for job in self.queue.drain(..) {
            job.answer(&self.metrics.pool, Err(JobError::ShuttingDown));
        }
    }

    fn publish(&self) {
        let gauge = self.mailbox.gauge();
        gauge.queue(self.queue.len());
        let metrics = &self.metrics.pool;
        metrics.queue(self.queue.len());
        metrics.workers(self.slots.iter().map(Slot::state));
        gauge.state(if self.draining { "draining" } else { "running" });
        let ready = self.slots.iter().filter(|slot| slot.is_ready()).count();
        self.status.ready.store(ready, Ordering::Relaxed);
        let failure = self.slots.iter().find_map(|slot| slot.last_failure.clone());
        *self
            .status
            .failure
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = failure;
    }
}

impl Actor for Pool {
    type Msg = PoolMessage;
    type State = PoolState;
    type Arguments = PoolArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.gauge.started(&myself.get_id());
        let mailbox = Mailbox::new(myself, args.gauge);
        let settings = args.settings;
        args.metrics.pool.capacity(settings.queue_capacity);
        let slots = settings
            .devices
            .iter()
            .flat_map(|device| std::iter::repeat_n(*device, settings.workers_per_device))
            .enumerate()
            .map(|(index, device)| {
                let metrics = args.metrics.pool.worker(index, &device.to_string());
                Slot::new(index, device, metrics)
            })
            .collect();
        let mut state = PoolState {
            settings,
            status: args.status,
            mailbox,
            queue: VecDeque::new(),
            slots,
            draining: false,
            metrics: args.metrics,
        };
        for index in 0..state.slots.len() {
            state.spawn_worker(index).await;
        }
        state.publish();
        state.mailbox.cast(PoolMessage::Watch)?;
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.mailbox.gauge().message_taken();
        state.handle(message).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                state.on_worker_end(&actor, &error.to_string());
            }
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                state.on_worker_end(&actor, reason.as_deref().unwrap_or("it was stopped"));
            }
            _ => {}
        }
        state.dispatch();
        state.publish();
        Ok(())
    }
}

/// Joins jobs that wait to one that encodes, of whichever session, up to so many frames.
fn join_waiting(queue: &mut VecDeque<Job>, job: &mut Job, most_frames: usize) {
    if most_frames <= 1 {
        return;
    }
    for other in std::mem::take(queue) {
        if job.frames() + other.frames() > most_frames {
            queue.push_back(other);
        } else if let Err(other) = job.join(other) {
            queue.push_back(*other);
        }
    }
}

/// How long ago, in seconds.
fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}
