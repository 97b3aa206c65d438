//! A worker's place in the pool, which outlives the worker.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pointstream_reconstruction::geometry::FrameSize;
use ractor::{ActorCell, SpawnErr};

use super::PoolMessage;
use super::batch::Batch;
use super::job::Job;
use super::remote_worker::{RemoteWorker, RemoteWorkerArgs};
use super::seat::{RemoteSeat, Seat};
use super::task::TaskContext;
use super::thread::ThreadGuard;
use super::worker::{Worker, WorkerArgs, WorkerMessage};
use crate::actor_status::ActorStatus;
use crate::errors::RestartError;
use crate::ids::JobId;
use crate::mailbox::Mailbox;
use crate::metrics::WorkerMetrics;
use crate::remote::NodeRecord;
use crate::remote::gateway::Gateway;
use crate::report::{ActorReport, NodeReport, WorkerState};
use crate::settings::PoolSettings;

/// Longest delay before a worker that keeps failing is started again.
const MAX_RESTART_DELAY: Duration = Duration::from_secs(30);
/// After so many failures in a row while loading, the model counts as not loadable.
const MAX_LOAD_FAILURES: u32 = 3;

/// How long a thread whose worker has ended may hold up the next one. After that it counts as hanging,
/// and the next worker starts beside it; a second one does not.
const LONGEST_STEP: Duration = Duration::from_secs(60);
/// An operator may restart a worker so often: each restart interrupts the jobs of all clients.
const RESTART_INTERVAL: Duration = Duration::from_secs(60);

/// A worker's place.
pub(super) struct Slot {
    index: usize,
    seat: Seat,
    /// Number of the worker's current life. Reports of earlier lives are ignored.
    incarnation: u64,
    status: Arc<ActorStatus>,
    /// Failures in a row while loading the model.
    load_failures: u32,
    /// Until the worker is ready again.
    last_failure: Option<String>,
    /// Why the pool has killed the worker, until its actor has ended.
    kill_reason: Option<String>,
    worker: Option<Mailbox<WorkerMessage>>,
    phase: Phase,
    metrics: WorkerMetrics,
    /// Up to when busy time is counted.
    counted: Instant,
    /// When an operator restarted the worker.
    restarted: Option<Instant>,
    /// Held by the thread of each life of the worker while it runs.
    threads: Vec<Weak<ThreadGuard>>,
    /// When the worker has ended.
    ended: Instant,
}

/// What the worker does.
enum Phase {
    /// There is no worker, or its model may be broken and it ends.
    Down,
    /// Loads the model.
    Loading,
    /// Waits for a job.
    Idle,
    Busy(Box<Batch>, Instant),
}

impl Slot {
    /// A slot without a worker.
    pub fn new(index: usize, seat: Seat, metrics: WorkerMetrics) -> Self {
        Self {
            index,
            seat,
            incarnation: 0,
            status: ActorStatus::new("worker", index.to_string()),
            load_failures: 0,
            last_failure: None,
            kill_reason: None,
            worker: None,
            phase: Phase::Down,
            metrics,
            counted: Instant::now(),
            restarted: None,
            threads: Vec::new(),
            ended: Instant::now(),
        }
    }

    /// Whether a worker may be started. The thread of the last one may still run a step of the model,
    /// with its memory: it is waited for, though not for ever, since it may hang.
    pub fn may_spawn(&mut self) -> bool {
        self.threads.retain(|thread| thread.strong_count() > 0);
        match self.threads.len() {
            0 => true,
            1 => self.ended.elapsed() > LONGEST_STEP,
            _ => false,
        }
    }

    /// Kills the worker for an operator. Its job has not failed by itself, so this attempt does not
    /// count.
    ///
    /// # Errors
    /// If the worker has no model at the moment, or was restarted a moment ago.
    pub fn restart(&mut self) -> Result<(), RestartError> {
        let index = self.index;
        let left = self
            .restarted
            .and_then(|at| RESTART_INTERVAL.checked_sub(at.elapsed()));
        if let Some(left) = left {
            let seconds = left.as_secs() + 1;
            return Err(RestartError::TooSoon { index, seconds });
        }
        if !self.is_ready() || !self.kill() {
            return Err(RestartError::Starting { index });
        }
        if let Phase::Busy(batch, _) = &mut self.phase {
            batch.forgive_attempt();
        }
        self.restarted = Some(Instant::now());
        Ok(())
    }

    /// Starts a worker. One of another machine needs the gateway.
    pub async fn spawn(
        &mut self,
        settings: &PoolSettings,
        context: TaskContext,
        gateway: Option<&Arc<Gateway>>,
        pool: &Mailbox<PoolMessage>,
    ) -> Result<(), SpawnErr> {
        self.incarnation += 1;
        let supervisor = pool.actor().get_cell();
        let spawned = match (&self.seat, gateway) {
            (Seat::Here(device), _) => {
                let thread = Arc::new(ThreadGuard);
                self.threads.push(Arc::downgrade(&thread));
                let args = WorkerArgs {
                    index: self.index,
                    incarnation: self.incarnation,
                    model: settings.model.clone(),
                    device: *device,
                    frames_per_call: settings.frames_per_call,
                    context,
                    thread,
                    status: self.status.clone(),
                    pool: pool.clone(),
                };
                Worker::spawn(args, supervisor).await
            }
            (Seat::There(seat), Some(gateway)) => {
                let args = RemoteWorkerArgs {
                    index: self.index,
                    incarnation: self.incarnation,
                    node: seat.node().id,
                    gateway: gateway.clone(),
                    blobs: context.blobs,
                    memory: context.memory,
                    status: self.status.clone(),
                    pool: pool.clone(),
                };
                RemoteWorker::spawn(args, supervisor).await
            }
            // Without a gateway there are no such seats.
            (Seat::There(_), None) => return Ok(()),
        };
        match spawned {
            Ok(worker) => {
                self.worker = Some(worker);
                self.enter(Phase::Loading);
                Ok(())
            }
            Err(error) => {
                self.load_failures += 1;
                self.last_failure = Some(error.to_string());
                self.status.failed(error.to_string());
                Err(error)
            }
        }
    }

    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The node of a worker of another machine has presented itself. `free` of its workers are for this gateway.
    pub fn update(&mut self, node: Arc<NodeRecord>, free: usize) {
        if let Some(seat) = self.seat.remote_mut() {
            seat.update(node, free);
            self.status.state(self.state().into());
        }
    }

    /// Frames of this size that the worker encodes in one call.
    pub fn frames_per_call(&self, settings: &PoolSettings, size: FrameSize) -> usize {
        match &self.seat {
            Seat::Here(device) => settings.frames_per_call(*device, size),
            Seat::There(seat) => seat.worker().map_or(1, |worker| worker.frames_per_call),
        }
    }

    /// Whether it is the slot of a worker that left. Another one may take it.
    pub fn is_vacant(&self) -> bool {
        let is_gone = self.seat.remote().is_some_and(RemoteSeat::is_gone);
        is_gone && self.worker.is_none()
    }

    /// A worker of another machine takes the slot of one that left.
    pub fn take_seat(&mut self, seat: RemoteSeat) {
        self.seat = Seat::There(seat);
        self.last_failure = None;
    }

    /// The worker's machine is gone. What it does is done by another one, so it leaves when that is done.
    pub fn leave(&mut self) {
        if let Some(seat) = self.seat.remote_mut() {
            seat.leave();
        }
        if !matches!(self.phase, Phase::Busy(..)) {
            self.kill();
        }
    }

    pub fn is_incarnation(&self, incarnation: u64) -> bool {
        self.incarnation == incarnation
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.seat.remote().is_none_or(RemoteSeat::is_free)
    }

    /// Whether the model is loaded.
    pub fn is_ready(&self) -> bool {
        let runs = matches!(self.phase, Phase::Idle | Phase::Busy(..));
        runs && self.seat.remote().is_none_or(RemoteSeat::is_ready)
    }

    pub fn is_actor(&self, actor: &ActorCell) -> bool {
        self.worker
            .as_ref()
            .is_some_and(|worker| worker.actor().get_id() == actor.get_id())
    }

    /// Whether the model counts as not loadable here.
    pub fn cannot_load(&self) -> bool {
        self.load_failures >= MAX_LOAD_FAILURES
    }

    /// What the worker failed with, until it is ready again.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// The job that it runs, if it is this one.
    pub fn running(&self, job: JobId) -> Option<&Job> {
        match &self.phase {
            Phase::Busy(batch, _) => batch.find(job),
            _ => None,
        }
    }

    /// How long the worker has been busy with its batch.
    pub fn busy_for(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Busy(_, since) => Some(since.elapsed()),
            _ => None,
        }
    }

    /// The job that it runs, if that may make way for others now.
    pub fn may_make_way(&self) -> Option<&Job> {
        match &self.phase {
            Phase::Busy(batch, _) => batch.may_make_way(),
            _ => None,
        }
    }

    /// Whether it runs a job of the sessions of this creator.
    pub fn works_for(&self, creator: &Arc<str>) -> bool {
        match &self.phase {
            Phase::Busy(batch, _) => batch.creator() == Some(creator),
            _ => false,
        }
    }

    /// Counts busy time up to now, so that a long job shows while it runs.
    pub fn count_time(&mut self) {
        let now = Instant::now();
        if matches!(self.phase, Phase::Busy(..)) {
            let busy = now.duration_since(self.counted);
            self.metrics.busy.inc_by(busy.as_secs_f64());
        }
        self.counted = now;
    }

    /// What the worker does.
    pub fn state(&self) -> WorkerState {
        match self.phase {
            Phase::Down => WorkerState::Down,
            Phase::Loading => WorkerState::Loading,
            Phase::Idle if !self.is_ready() => WorkerState::Loading,
            Phase::Idle => WorkerState::Idle,
            Phase::Busy(..) => WorkerState::Busy,
        }
    }

    /// The model is loaded.
    pub fn became_ready(&mut self) {
        self.load_failures = 0;
        self.last_failure = None;
        self.enter(Phase::Idle);
    }

    /// Gives the idle worker a batch, or returns it if the worker has ended.
    pub fn start(&mut self, mut batch: Batch) -> Result<(), Box<Batch>> {
        let Some(worker) = &self.worker else {
            self.enter(Phase::Down);
            return Err(Box::new(batch));
        };
        if worker.cast(WorkerMessage::Run(batch.task_jobs())).is_ok() {
            batch.count_attempt();
            self.enter(Phase::Busy(Box::new(batch), Instant::now()));
            Ok(())
        } else {
            self.enter(Phase::Down);
            Err(Box::new(batch))
        }
    }

    /// The worker has finished its batch. If its model may be broken, for the reason given, the
    /// worker is killed. Returns none if the batch was taken away before.
    pub fn finished(&mut self, broken: Option<String>) -> Option<Box<Batch>> {
        let batch = self.take_batch()?;
        match broken {
            None => {
                self.enter(Phase::Idle);
                if self.seat.remote().is_some_and(RemoteSeat::is_gone) {
                    self.kill();
                }
            }
            Some(reason) => {
                self.kill_reason = Some(reason);
                self.enter(Phase::Down);
                self.kill();
            }
        }
        Some(batch)
    }

    /// Takes the batch away. The worker gets no other until it is restarted.
    pub fn take_batch(&mut self) -> Option<Box<Batch>> {
        self.count_time();
        match std::mem::replace(&mut self.phase, Phase::Down) {
            Phase::Busy(batch, _) => Some(batch),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// The reason to report for the end of the worker's actor: the pool's, if the pool killed it.
    pub fn end_reason(&mut self, reason: &str) -> String {
        let reason = self.kill_reason.take().unwrap_or_else(|| reason.to_owned());
        self.last_failure = Some(reason.clone());
        self.status.failed(reason.clone());
        reason
    }

    /// The worker's actor ended. Returns the batch that was lost with it.
    pub fn ended(&mut self) -> Option<Box<Batch>> {
        self.worker = None;
        self.ended = Instant::now();
        let batch = self.take_batch();
        if matches!(self.phase, Phase::Loading) {
            self.load_failures += 1;
        }
        if !self.is_vacant() {
            self.metrics.restarts.inc();
        }
        self.enter(Phase::Down);
        batch
    }

    /// No delay after a failure of a loaded model, then exponentially longer ones.
    pub fn restart_delay(&self) -> Duration {
        match self.load_failures {
            0 => Duration::ZERO,
            failures => MAX_RESTART_DELAY.min(Duration::from_secs(1 << failures.min(6)) / 2),
        }
    }

    /// Kills the worker's actor. Returns whether there was one.
    pub fn kill(&self) -> bool {
        match &self.worker {
            Some(worker) => {
                worker.actor().kill();
                true
            }
            None => false,
        }
    }

    pub fn report(&self) -> ActorReport {
        ActorReport {
            device: Some(self.seat.to_string()),
            node: self
                .seat
                .remote()
                .map(|seat| NodeReport::of(seat.node(), seat.number())),
            busy_seconds: Some(self.metrics.busy.get()),
            restarts: self.metrics.restarts.get(),
            ..self.status.report()
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.count_time();
        self.phase = phase;
        self.status.state(self.state().into());
        self.status.job(match &self.phase {
            Phase::Busy(batch, _) => Some(batch.current()),
            _ => None,
        });
    }
}
