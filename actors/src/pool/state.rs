//! The pool's queue and slots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::ActorCell;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::batch::Batch;
use super::job::Job;
use super::nodes::{LONGEST_ABSENCE, LastPlaces};
use super::queue::{Queue, Refused};
use super::seat::Seat;
use super::slot::Slot;
use super::task::TaskContext;
use super::worker::{WorkerEvent, WorkerReport};
use super::{DeviceMemory, EncodedFrames, PoolArgs, PoolMessage};
use crate::blobs::{Blobs, remove_in_background};
use crate::error_kind::ErrorKind;
use crate::errors::RestartError;
use crate::jobs::{DispatcherStatus, JobDone, JobEvent, JobFailure};
use crate::mailbox::{Mailbox, Reply, answer};
use crate::metrics::Metrics;
use crate::remote::gateway::Gateway;
use crate::report::ActorReport;
use crate::settings::PoolSettings;

/// How often a worker may start a job: once more after the first worker failed.
const MAX_ATTEMPTS: u32 = 2;
/// How often the pool looks for jobs that take too long.
const TIMEOUT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the pool looks whether the thread of a worker that has ended still runs.
const THREAD_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The state of the pool.
pub(crate) struct State {
    settings: Arc<PoolSettings>,
    pub(super) gateway: Option<Arc<Gateway>>,
    /// Follows which workers other machines have.
    _nodes: Option<AbortOnDropHandle<()>>,
    /// Where the last job of each session ran that is still known: its frames are encoded there.
    pub(super) places: LastPlaces,
    /// Since when there has been no worker.
    pub(super) without_workers: Option<Instant>,
    blobs: Arc<dyn Blobs>,
    encoded: Arc<EncodedFrames>,
    memory: Arc<DeviceMemory>,
    readiness: watch::Sender<DispatcherStatus>,
    mailbox: Mailbox<PoolMessage>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) queue: Queue,
    pub(super) slots: Vec<Slot>,
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
                Slot::new(index, Seat::Here(device), metrics)
            })
            .collect();
        let nodes = args.gateway.as_ref().map(|gateway| {
            let (mut nodes, pool) = (gateway.nodes(), mailbox.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    let known = nodes.borrow_and_update().clone();
                    pool.notify(PoolMessage::Nodes(known));
                    if nodes.changed().await.is_err() {
                        return;
                    }
                }
            }))
        });
        Self {
            gateway: args.gateway,
            _nodes: nodes,
            places: LastPlaces::default(),
            without_workers: None,
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
            PoolMessage::SubmitAll(jobs) => jobs.into_iter().for_each(|job| self.submit(job)),
            PoolMessage::MakeWay(job) => {
                let running = self.slots.iter().find_map(|slot| slot.running(job));
                if let Some(job) = running {
                    job.turn.end();
                }
            }
            PoolMessage::Nodes(nodes) => self.nodes_changed(&nodes).await,
            PoolMessage::Worker(report) => self.worker_reported(report),
            PoolMessage::Respawn(index) => self.spawn_worker(index).await,
            PoolMessage::Restart(index, reply) => self.restart(index, reply),
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
        while self.slots.iter().any(Slot::is_idle) {
            let Some(job) = self.take(now) else {
                return;
            };
            let Some(index) = self.place(job.spec.session) else {
                return self.queue.return_turns(std::iter::once(job));
            };
            let slot = &mut self.slots[index];
            let most_frames = slot.frames_per_call(&self.settings, job.spec.size);
            let batch = Batch::collect(job, &mut self.queue, most_frames, now);
            let session = batch.session();
            if let Err(batch) = slot.start(batch) {
                // The worker has just ended; the event of that follows.
                self.queue.return_turns(batch.into_jobs());
            } else {
                let node = slot.seat().remote().map(|seat| seat.node().id);
                self.places.note(session, node);
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
                tracing::info!(worker = report.index, device = %slot.seat(), "worker is ready");
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
    pub(super) fn end(&self, job: Job, outcome: Result<JobDone, JobFailure>) {
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
        let session = lost.as_ref().map(|batch| batch.session());
        let has_left = slot.is_vacant();
        // Reversed, since each goes to the front of the queue.
        let lost = lost.into_iter().flat_map(|batch| batch.into_jobs().rev());
        if self.draining {
            for job in lost {
                self.end(job, Err(JobFailure::ShuttingDown));
            }
        } else {
            if has_left {
                tracing::info!(worker = index, "a worker of another machine has left");
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
            }
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
        // A worker of another machine may come.
        let is_alone = self.gateway.is_none();
        (is_alone && self.slots.iter().all(Slot::cannot_load)).then(|| {
            let failure = self.slots.iter().find_map(Slot::last_failure);
            JobFailure::NoWorker(failure.unwrap_or("unknown reason").to_owned())
        })
    }

    pub(super) async fn spawn_worker(&mut self, index: usize) {
        if self.draining {
            return;
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if slot.is_vacant() {
            return;
        }
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
        let gateway = self.gateway.as_ref();
        let spawned = slot
            .spawn(&self.settings, shared, gateway, &self.mailbox)
            .await;
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

    fn restart(&mut self, index: usize, reply: Reply<Result<(), RestartError>>) {
        let workers = self.slots.len();
        let slot = self.slots.get_mut(index).filter(|slot| !slot.is_vacant());
        let Some(slot) = slot else {
            return answer(reply, Err(RestartError::NoSuchWorker { index, workers }));
        };
        if slot.seat().remote().is_some() {
            return self.restart_elsewhere(index, reply);
        }
        let restarted = slot.restart();
        if restarted.is_ok() {
            tracing::warn!(worker = index, "an operator restarts this worker");
        }
        answer(reply, restarted);
    }

    /// Ends jobs that take too long. Their workers are killed and restarted.
    fn check_timeouts(&mut self) {
        self.check_without_workers();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            slot.count_time();
            // A job that loses its machine runs twice, and each machine has the limit of its own.
            let limit = match slot.seat() {
                Seat::Here(_) => self.settings.job_timeout,
                Seat::There(_) => {
                    let twice = self.settings.job_timeout.saturating_mul(2);
                    twice.saturating_add(LONGEST_ABSENCE)
                }
            };
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
            children: self.present().map(Slot::report).collect(),
            ..self.mailbox.status().report()
        }
    }

    fn publish(&self) {
        let state = if self.draining { "draining" } else { "running" };
        self.mailbox.status().state(state);
        let metrics = &self.metrics.pool;
        metrics.queue(self.queue.len());
        metrics.workers(self.present().map(Slot::state));
        let problem = self.gateway.as_ref().and_then(|gateway| gateway.problem());
        let failure = self.present().find_map(Slot::last_failure);
        let devices: BTreeSet<_> = self.present().map(|slot| slot.seat().device()).collect();
        let status = DispatcherStatus {
            workers: self.present().count(),
            ready_workers: self.present().filter(|slot| slot.is_ready()).count(),
            failure: failure.map(str::to_owned).or(problem),
            local: self
                .slots
                .iter()
                .filter_map(|slot| match slot.seat() {
                    Seat::Here(device) => Some((*device, slot.is_ready())),
                    Seat::There(_) => None,
                })
                .collect(),
            devices: devices.into_iter().collect(),
            remote_frames_per_call: self
                .present()
                .filter_map(|slot| slot.seat().remote())
                .filter(|seat| seat.node().takes_frames)
                .filter_map(|seat| Some(seat.worker()?.frames_per_call))
                .max(),
        };
        self.readiness.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    /// The slots of workers that have not left.
    pub(super) fn present(&self) -> impl Iterator<Item = &Slot> + Clone {
        self.slots.iter().filter(|slot| !slot.is_vacant())
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
