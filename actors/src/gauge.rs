//! What an actor shows of itself without being asked, so that a stuck one can be inspected too.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::event::SessionId;
use crate::summary::{ActorReport, JobReport};

/// Live figures of one actor, shared between the actor, its mailbox and its supervisor.
///
/// A restarted actor keeps its gauge, so that its history stays visible.
#[derive(Debug)]
pub(crate) struct Gauge {
    kind: &'static str,
    name: String,
    sent: AtomicU64,
    handled: AtomicU64,
    restarts: AtomicU64,
    queued: Option<AtomicUsize>,
    face: Mutex<Face>,
}

/// The part of a gauge that is more than a number.
#[derive(Debug)]
struct Face {
    id: String,
    started: Instant,
    state: &'static str,
    device: Option<String>,
    busy_seconds: Option<f64>,
    job: Option<CurrentJob>,
    last_error: Option<String>,
}

/// What an actor works on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CurrentJob {
    /// `encode` or `reconstruct`.
    pub kind: &'static str,
    /// For which session.
    pub session: SessionId,
    /// Number of frames.
    pub frames: usize,
    /// Since when.
    pub since: Instant,
}

impl Gauge {
    /// A gauge of an actor that has no queue beside its mailbox.
    pub fn new(kind: &'static str, name: String) -> Arc<Self> {
        Arc::new(Self::build(kind, name, None))
    }

    /// A gauge of an actor that keeps a queue of jobs.
    pub fn with_queue(kind: &'static str, name: String) -> Arc<Self> {
        Arc::new(Self::build(kind, name, Some(AtomicUsize::new(0))))
    }

    fn build(kind: &'static str, name: String, queued: Option<AtomicUsize>) -> Self {
        Self {
            kind,
            name,
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            queued,
            face: Mutex::new(Face {
                id: String::new(),
                started: Instant::now(),
                state: "starting",
                device: None,
                busy_seconds: None,
                job: None,
                last_error: None,
            }),
        }
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        // Every change is a single assignment, so a poisoned face is still a whole one.
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the actor runs under this identifier.
    pub fn started(&self, id: &impl ToString) {
        let mut face = self.face();
        face.id = id.to_string();
        face.started = Instant::now();
    }

    /// Notes that a message was put into the mailbox.
    pub fn message_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a message was taken out of the mailbox to be handled.
    pub fn message_taken(&self) {
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the actor was started again; what waited in its mailbox is gone.
    pub fn restarted(&self, error: Option<String>) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.sent
            .store(self.handled.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut face = self.face();
        face.job = None;
        if error.is_some() {
            face.last_error = error;
        }
    }

    /// Notes the length of the queue.
    pub fn queue(&self, length: usize) {
        if let Some(queued) = &self.queued {
            queued.store(length, Ordering::Relaxed);
        }
    }

    /// Notes what the actor does.
    pub fn state(&self, state: &'static str) {
        self.face().state = state;
    }

    /// Notes the device that the actor uses.
    pub fn device(&self, device: String) {
        self.face().device = Some(device);
    }

    /// Notes how long the actor has worked on jobs, over all its lives.
    pub fn busy(&self, seconds: f64) {
        self.face().busy_seconds = Some(seconds);
    }

    /// Notes what the actor works on, or that it rests.
    pub fn job(&self, job: Option<CurrentJob>) {
        self.face().job = job;
    }

    /// Notes what the actor failed with.
    pub fn error(&self, error: String) {
        self.face().last_error = Some(error);
    }

    /// The figures now, without children.
    pub fn report(&self) -> ActorReport {
        let handled = self.handled.load(Ordering::Relaxed);
        let face = self.face();
        ActorReport {
            id: face.id.clone(),
            kind: self.kind,
            name: self.name.clone(),
            state: face.state.to_owned(),
            age_seconds: face.started.elapsed().as_secs_f64(),
            messages_handled: handled,
            mailbox_depth: self.sent.load(Ordering::Relaxed).saturating_sub(handled),
            queue_depth: self
                .queued
                .as_ref()
                .map(|queued| queued.load(Ordering::Relaxed)),
            restarts: self.restarts.load(Ordering::Relaxed),
            device: face.device.clone(),
            busy_seconds: face.busy_seconds,
            current_job: face.job.map(|job| JobReport {
                kind: job.kind,
                session_id: job.session,
                frames: job.frames,
                running_seconds: job.since.elapsed().as_secs_f64(),
            }),
            last_error: face.last_error.clone(),
            children: Vec::new(),
        }
    }
}
