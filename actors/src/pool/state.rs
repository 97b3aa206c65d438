//! The pool's queue and slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorCell;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::job::Job;
use super::queue::{Queue, Refused};
use super::slot::Slot;
use super::task::TaskContext;
use super::worker::{WorkerEvent, WorkerReport};
use super::{DeviceMemory, EncodedFrames, PoolArgs, PoolMessage};
use crate::blobs::{Blobs, remove_in_background};
use crate::error_kind::ErrorKind;
use crate::errors::RestartError;
use crate::jobs::{DispatcherStatus, JobDone, JobEvent, JobFailure};
use crate::mailbox::{Mailbox, answer};
use crate::metrics::Metrics;
use crate::report::ActorReport;
use crate::settings::Settings;

/// How often a worker may start a job: once more after the first worker failed.
const MAX_ATTEMPTS: u32 = 2;
/// How often the pool looks for jobs that take too long.
const TIMEOUT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the pool looks whether the thread of a worker that has ended still runs.
const THREAD_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The state of the pool.
pub(crate) struct State {
    settings: Arc<Settings>,
    blobs: Arc<dyn Blobs>,
    encoded: Arc<EncodedFrames>,
    memory: Arc<DeviceMemory>,
    readiness: watch::Sender<DispatcherStatus>,
    mailbox: Mailbox<PoolMessage>,
    metrics: Arc<Metrics>,
    queue: Queue,
    slots: Vec<Slot>,
    draining: bool,
}

impl State {
    pub fn new(args: PoolArgs, mailbox: Mailbox<PoolMessage>) -> Self {
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
        Self {
            queue: Queue::new(settings.queue_capacity),
            settings,
            blobs: args.blobs,
            encoded: args.encoded,
            memory: args.memory,
            readiness: args.readiness,
            mailbox,
            metrics: args.metrics,
            slots,
            draining: false,
        }
    }

    /// Starts the workers.
    pub async fn start(&mut self) {
        for index in 0..self.slots.len() {
            self.spawn_worker(index).await;
        }
        self.publish();
        self.mailbox
            .notify_after(TIMEOUT_CHECK_INTERVAL, PoolMessage::CheckTimeouts);
    }

    pub async fn handle(&mut self, message: PoolMessage) {
        self.mailbox.status().message_taken();
        match message {
            PoolMessage::Submit(job) => self.submit(job),
            PoolMessage::Worker(report) => self.worker_reported(report),
            PoolMessage::Respawn(index) => self.spawn_worker(index).await,
            PoolMessage::Restart(index, reply) => answer(reply, self.restart(index)),
            PoolMessage::CheckTimeouts => self.check_timeouts(),
            PoolMessage::Report(reply) => answer(reply, self.report()),
            PoolMessage::Drain => self.drain(),
        }
        self.advance();
    }

    /// Does what is next, after each message and each end of a worker.
    fn advance(&mut self) {
        self.dispatch();
        self.make_way();
        self.publish();
    }

    fn submit(&mut self, job: Job) {
        // Jobs that nobody wants must not take the room of others.
        self.end_cancelled();
        let refusal = if self.draining {
            Some(JobFailure::ShuttingDown)
        } else {
            self.no_worker()
        };
        let accepted = match refusal {
            Some(failure) => Err(Refused {
                job: Box::new(job),
                failure,
            }),
            None => self.queue.push(job),
        };
        if let Err(Refused { job, failure }) = accepted {
            self.end(*job, Err(failure));
        }
    }

    /// Ends the waiting jobs that are cancelled.
    fn end_cancelled(&mut self) {
        for job in self.queue.take_cancelled() {
            self.end(job, Err(JobFailure::Cancelled));
        }
    }

    /// Gives waiting jobs to idle workers.
    fn dispatch(&mut self) {
        self.end_cancelled();
        let now = Instant::now();
        for index in 0..self.slots.len() {
            if !self.slots[index].is_idle() {
                continue;
            }
            let Some(job) = self.take(now) else {
                return;
            };
            let slot = &mut self.slots[index];
            let most_frames = self.settings.frames_per_call(slot.device(), job.spec.size);
            let batch = Batch::collect(job, &mut self.queue, most_frames, now);
            if let Err(batch) = slot.start(batch) {
                // The worker has just ended; the event of that follows.
                self.queue.return_turns(batch.into_jobs());
            }
        }
    }

    /// The next job, of a client for whom not too many run.
    fn take(&mut self, now: Instant) -> Option<Job> {
        let fits = fits(self.slots.iter(), self.settings.max_jobs_of_creator);
        self.queue.take(now, fits)
    }

    /// Tells a long job to make way if its turn is over and another one is due. One at a time: what
    /// waits may be short.
    fn make_way(&self) {
        if self.slots.iter().any(|slot| slot.is_idle()) {
            return;
        }
        let long = self.slots.iter().enumerate();
        let long: Vec<_> = long
            .filter_map(|(index, slot)| Some((index, slot.may_make_way()?)))
            .collect();
        if long.iter().any(|(_, job)| job.turn.is_ending()) {
            return;
        }
        let now = Instant::now();
        let due = |(index, job): &&(usize, &Job)| {
            if job.turn.is_over() {
                return false;
            }
            // As if it had made way.
            let others = self.slots.iter().enumerate();
            let others = others.filter(|(other, _)| other != index);
            let others = others.map(|(_, slot)| slot);
            let fits = fits(others, self.settings.max_jobs_of_creator);
            self.queue.precedes(job, now, fits)
        };
        if let Some((_, job)) = long.iter().find(due) {
            tracing::info!(
                session_id = %job.spec.session,
                frames = job.spec.frames.len(),
                "a long job makes way for others"
            );
            job.turn.end();
        }
    }

    fn worker_reported(&mut self, report: WorkerReport) {
        let Some(slot) = self.slots.get_mut(report.index) else {
            return;
        };
        if !slot.is_incarnation(report.incarnation) {
            return;
        }
        match report.event {
            WorkerEvent::Ready => {
                tracing::info!(worker = report.index, device = %slot.device(), "worker is ready");
                slot.became_ready();
            }
            WorkerEvent::Finished(finished) => {
                let broken = finished.needs_restart().map(str::to_owned);
                if let Some(batch) = slot.finished(broken) {
                    let outcomes = finished.take_outcomes();
                    for (job, outcome) in batch.into_jobs().zip(outcomes) {
                        self.worker_done(job, outcome);
                    }
                }
            }
        }
    }

    /// A worker is done with a job: for good, unless it made way for others.
    fn worker_done(&mut self, mut job: Job, outcome: Result<JobDone, JobFailure>) {
        let made_way = outcome == Err(JobFailure::Cancelled) && job.turn.is_over();
        if !made_way || job.is_cancelled() {
            return self.end(job, outcome);
        }
        self.metrics.pool.made_way();
        if job.spec.divisible {
            return self.end(job, Err(JobFailure::MadeWay));
        }
        if self.draining {
            return self.end(job, Err(JobFailure::ShuttingDown));
        }
        job.attempts = job.attempts.saturating_sub(1);
        self.wait_again(job);
    }

    /// Puts a job back that a worker had started.
    fn wait_again(&mut self, mut job: Job) {
        if job.turn.is_over() {
            job.turn = job.turn.next();
        }
        job.sender().reporter().report(JobEvent::Waiting);
        self.queue.put_back(job);
    }

    /// Ends a job. The result of a cancelled one is removed: nobody else knows of it.
    fn end(&self, job: Job, outcome: Result<JobDone, JobFailure>) {
        if job.is_cancelled()
            && let Ok(JobDone {
                result: Some(key), ..
            }) = &outcome
        {
            remove_in_background(&self.blobs, vec![*key]);
        }
        job.end(&self.metrics.pool, outcome);
    }

    /// A worker's actor ended, for whatever reason.
    pub fn worker_ended(&mut self, actor: &ActorCell, reason: &str) {
        let Some(index) = self.slots.iter().position(|slot| slot.is_actor(actor)) else {
            return;
        };
        let slot = &mut self.slots[index];
        let reason = slot.end_reason(reason);
        let lost = slot.ended();
        let delay = slot.restart_delay();
        let session = lost.as_ref().map(|batch| batch.current().session);
        // Reversed, since each goes to the front of the queue.
        let lost = lost.into_iter().flat_map(|batch| batch.into_jobs().rev());
        if self.draining {
            for job in lost {
                self.end(job, Err(JobFailure::ShuttingDown));
            }
        } else {
            tracing::error!(
                worker = index,
                %reason,
                restart_in = ?delay,
                "worker failed; it is restarted"
            );
            self.metrics.error(ErrorKind::Worker, session, &reason);
            self.mailbox
                .notify_after(delay, PoolMessage::Respawn(index));
            for job in lost {
                self.retry(job, &reason);
            }
            if let Some(failure) = self.no_worker() {
                for job in self.queue.take_all() {
                    self.end(job, Err(failure.clone()));
                }
            }
        }
        self.advance();
    }

    fn retry(&mut self, job: Job, reason: &str) {
        if job.attempts < MAX_ATTEMPTS {
            self.wait_again(job);
        } else {
            self.end(job, Err(JobFailure::WorkerDied(reason.to_owned())));
        }
    }

    /// The failure of every job if no worker can load the model.
    fn no_worker(&self) -> Option<JobFailure> {
        self.slots.iter().all(Slot::cannot_load).then(|| {
            let failure = self.slots.iter().find_map(Slot::last_failure);
            JobFailure::NoWorker(failure.unwrap_or("unknown reason").to_owned())
        })
    }

    async fn spawn_worker(&mut self, index: usize) {
        if self.draining {
            return;
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if !slot.may_spawn() {
            self.mailbox
                .notify_after(THREAD_CHECK_INTERVAL, PoolMessage::Respawn(index));
            return;
        }
        let shared = TaskContext {
            blobs: self.blobs.clone(),
            encoded: self.encoded.clone(),
            memory: self.memory.clone(),
            abandoned: CancellationToken::new(),
        };
        let spawned = slot.spawn(&self.settings, shared, &self.mailbox).await;
        if let Err(error) = spawned {
            let delay = slot.restart_delay();
            tracing::error!(
                worker = index,
                %error,
                retry_in = ?delay,
                "worker cannot be started; trying again"
            );
            self.metrics
                .error(ErrorKind::Worker, None, &error.to_string());
            self.mailbox
                .notify_after(delay, PoolMessage::Respawn(index));
        }
    }

    fn restart(&mut self, index: usize) -> Result<(), RestartError> {
        let workers = self.slots.len();
        let slot = self.slots.get_mut(index);
        let slot = slot.ok_or(RestartError::NoSuchWorker { index, workers })?;
        slot.restart()?;
        tracing::warn!(worker = index, "an operator restarts this worker");
        Ok(())
    }

    /// Ends jobs that take too long. Their workers are killed and restarted.
    fn check_timeouts(&mut self) {
        let limit = self.settings.job_timeout;
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            slot.count_time();
            if slot.busy_for().is_some_and(|busy| busy > limit) {
                let batch = slot.take_batch();
                slot.kill();
                for job in batch.into_iter().flat_map(|batch| batch.into_jobs()) {
                    self.end(job, Err(JobFailure::TimedOut(limit.as_secs())));
                }
            }
        }
        self.mailbox
            .notify_after(TIMEOUT_CHECK_INTERVAL, PoolMessage::CheckTimeouts);
    }

    fn drain(&mut self) {
        self.draining = true;
        for job in self.queue.take_all() {
            self.end(job, Err(JobFailure::ShuttingDown));
        }
    }

    fn report(&self) -> ActorReport {
        ActorReport {
            queue_depth: Some(self.queue.len()),
            restarts: self.metrics.pool.pool_restarts(),
            children: self.slots.iter().map(Slot::report).collect(),
            ..self.mailbox.status().report()
        }
    }

    fn publish(&self) {
        let state = if self.draining { "draining" } else { "running" };
        self.mailbox.status().state(state);
        let metrics = &self.metrics.pool;
        metrics.queue(self.queue.len());
        metrics.workers(self.slots.iter().map(Slot::state));
        self.readiness.send_replace(DispatcherStatus {
            workers: self.slots.len(),
            ready_workers: self.slots.iter().filter(|slot| slot.is_ready()).count(),
            failure: self
                .slots
                .iter()
                .find_map(Slot::last_failure)
                .map(str::to_owned),
        });
    }
}

/// Whether a job's client has fewer jobs that run in these slots than it may have.
fn fits<'a>(
    slots: impl Iterator<Item = &'a Slot> + Clone,
    limit: Option<usize>,
) -> impl Fn(&Job) -> bool {
    move |job| {
        let limited = job.spec.creator.as_ref().zip(limit);
        limited.is_none_or(|(creator, limit)| {
            let mine = slots.clone().filter(|slot| slot.works_for(creator));
            mine.count() < limit
        })
    }
}
