//! The jobs that wait for a worker: how many, and whose turn it is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::job::Job;
use crate::ids::SessionId;
use crate::jobs::{JobFailure, JobPriority};

/// An [`Ahead`](JobPriority::Ahead) job that has waited this long counts as
/// [`Requested`](JobPriority::Requested), so that a constant flow of requests only delays it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bounded queue that is fair to sessions.
///
/// Requested jobs come before those ahead of time. Within a priority, the session that was least
/// recently given a worker is next, and one that was given none before all others. The jobs of a
/// session keep their order.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    /// In the order in which they came, except that jobs that return are at the front.
    jobs: Vec<Job>,
    turns: Turns,
}

/// Which sessions were given a worker, of the last so many turns. Older turns are forgotten: that
/// bounds the memory, and a session that waited so long comes before all newcomers, as it has waited
/// longer. Otherwise a constant flow of new sessions could keep it waiting for ever.
#[derive(Debug)]
struct Turns {
    remembered: u64,
    /// Number of the last turn.
    last: u64,
    by_session: HashMap<SessionId, u64>,
}

/// A job that was not accepted, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub job: Job,
    pub failure: JobFailure,
}

impl Queue {
    /// An empty queue for this many jobs.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            jobs: Vec::new(),
            turns: Turns {
                // No more sessions can wait at the same time, so each has a turn within so many.
                remembered: u64::try_from(capacity).unwrap_or(u64::MAX),
                last: 0,
                by_session: HashMap::new(),
            },
        }
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Adds a job.
    ///
    /// # Errors
    /// The job, if too many wait or too many of its session.
    pub fn push(&mut self, job: Job) -> Result<(), Refused> {
        let priority = job.spec.priority;
        let session = job.spec.session;
        let of_session = self.jobs.iter().filter(|job| job.spec.session == session);
        let (capacity, limit) = (self.limit(priority), self.session_limit(priority));
        let failure = if self.jobs.len() >= capacity {
            JobFailure::QueueFull { capacity }
        } else if of_session.count() >= limit {
            JobFailure::SessionQueueFull { limit }
        } else {
            self.jobs.push(job);
            return Ok(());
        };
        Err(Refused { job, failure })
    }

    /// Length of the queue up to which a job is accepted. Work ahead of time leaves room for what
    /// clients wait for.
    fn limit(&self, priority: JobPriority) -> usize {
        match priority {
            JobPriority::Requested => self.capacity,
            JobPriority::Ahead => self.capacity / 2,
        }
    }

    /// Number of a session's waiting jobs up to which another one is accepted. Here too, work ahead
    /// of time leaves room: it must not shut out what the session's own client waits for.
    fn session_limit(&self, priority: JobPriority) -> usize {
        let limit = (self.capacity / 2).max(1);
        match priority {
            JobPriority::Requested => limit,
            JobPriority::Ahead => limit / 2,
        }
    }

    /// Puts a job that was lost with its worker before the others of its session and priority. Its
    /// session has had its turn. The job is accepted even if the queue is full: it was before.
    pub fn put_back(&mut self, job: Job) {
        self.jobs.insert(0, job);
    }

    /// Puts back what no worker has taken, in its order. The turns do not count: these sessions come
    /// next.
    pub fn return_turns(&mut self, jobs: impl DoubleEndedIterator<Item = Job>) {
        for job in jobs.rev() {
            self.turns.forget(job.spec.session);
            self.put_back(job);
        }
    }

    /// Takes the next job of those that fit, and counts a turn of its session. Cancelled jobs are
    /// left: see [`take_cancelled`](Self::take_cancelled).
    pub fn take(&mut self, now: Instant, fits: impl Fn(&Job) -> bool) -> Option<Job> {
        let candidates = self.jobs.iter().enumerate();
        let (next, _) = candidates
            .filter(|(_, job)| !job.is_cancelled() && fits(job))
            // Of equals, it finds the first.
            .min_by_key(|(_, job)| (priority(job, now), self.turns.of(job.spec.session)))?;
        let job = self.jobs.remove(next);
        self.turns.count(job.spec.session);
        Some(job)
    }

    /// Takes the jobs that are cancelled.
    pub fn take_cancelled(&mut self) -> Vec<Job> {
        self.jobs.extract_if(.., |job| job.is_cancelled()).collect()
    }

    /// Takes all jobs.
    pub fn take_all(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }
}

/// How urgent a job is by now.
fn priority(job: &Job, now: Instant) -> JobPriority {
    if now.saturating_duration_since(job.submitted) >= PATIENCE {
        JobPriority::Requested
    } else {
        job.spec.priority
    }
}

impl Turns {
    /// A session's last turn. None, which is less than any, if it had none.
    fn of(&self, session: SessionId) -> Option<u64> {
        self.by_session.get(&session).copied()
    }

    fn count(&mut self, session: SessionId) {
        self.last += 1;
        self.by_session.insert(session, self.last);
        let forgotten = self.last.saturating_sub(self.remembered);
        self.by_session.retain(|_, turn| *turn > forgotten);
    }

    fn forget(&mut self, session: SessionId) {
        self.by_session.remove(&session);
    }
}

#[cfg(test)]
mod tests;
