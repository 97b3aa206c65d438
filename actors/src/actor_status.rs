//! Live figures of an actor. Reading them needs no message to the actor, so that a stuck actor can
//! be inspected too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::ids::SessionId;
use crate::report::{ActorReport, JobReport};

/// Live figures of one actor, shared between the actor, its mailbox and its supervisor. They
/// outlive a restart of the actor.
#[derive(Debug)]
pub(crate) struct ActorStatus {
    kind: &'static str,
    name: String,
    sent: AtomicU64,
    handled: AtomicU64,
    activity: Mutex<Activity>,
}

#[derive(Debug)]
struct Activity {
    id: String,
    started: Instant,
    state: &'static str,
    job: Option<CurrentJob>,
    last_error: Option<String>,
}

/// The current job of an actor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CurrentJob {
    /// `encode` or `reconstruct` for a worker, `generate` or `finalize` for a session.
    pub kind: &'static str,
    pub session: SessionId,
    pub frames: usize,
    pub since: Instant,
}

impl ActorStatus {
    pub fn new(kind: &'static str, name: String) -> Arc<Self> {
        Arc::new(Self {
            kind,
            name,
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            activity: Mutex::new(Activity {
                id: String::new(),
                started: Instant::now(),
                state: "starting",
                job: None,
                last_error: None,
            }),
        })
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        // Every change is one assignment, so the content is valid after a panic too.
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actor has started under this identifier of the runtime.
    pub fn started(&self, id: &impl ToString) {
        let mut activity = self.activity();
        activity.id = id.to_string();
        activity.started = Instant::now();
    }

    pub fn message_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub fn message_taken(&self) {
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    /// The actor failed; the messages in its mailbox are lost with it.
    pub fn failed(&self, error: String) {
        self.sent
            .store(self.handled.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut activity = self.activity();
        activity.job = None;
        activity.last_error = Some(error);
    }

    pub fn state(&self, state: &'static str) {
        self.activity().state = state;
    }

    pub fn job(&self, job: Option<CurrentJob>) {
        self.activity().job = job;
    }

    /// A snapshot. The actor's owner adds restarts, device, queue and children.
    pub fn report(&self) -> ActorReport {
        let handled = self.handled.load(Ordering::Relaxed);
        let activity = self.activity();
        ActorReport {
            id: activity.id.clone(),
            kind: self.kind,
            name: self.name.clone(),
            state: activity.state.to_owned(),
            age_seconds: activity.started.elapsed().as_secs_f64(),
            messages_handled: handled,
            mailbox_depth: self.sent.load(Ordering::Relaxed).saturating_sub(handled),
            queue_depth: None,
            restarts: 0,
            device: None,
            node: None,
            busy_seconds: None,
            current_job: activity.job.map(|job| JobReport {
                kind: job.kind,
                session_id: job.session,
                frames: job.frames,
                running_seconds: job.since.elapsed().as_secs_f64(),
            }),
            last_error: activity.last_error.clone(),
            children: Vec::new(),
        }
    }
}
