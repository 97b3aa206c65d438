//! The jobs that wait for a worker: how many, and whose turn it is.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::job::Job;
use crate::ids::SessionId;
use crate::jobs::{Client, JobFailure, JobPriority};

/// An [`Ahead`](JobPriority::Ahead) job that has waited this long counts as
/// [`Requested`](JobPriority::Requested), so that a constant flow of requests only delays it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bounded queue that is fair to clients, and to the sessions of each.
///
/// Requested jobs come before those ahead of time. Within a priority, the client that was least
/// recently given a worker is next, and one that was given none before all others; of its sessions the
/// same holds. The jobs of a session keep their order.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    /// In the order in which they came, except that jobs that return are at the front.
    jobs: Vec<Job>,
    clients: Turns<Client>,
    sessions: Turns<SessionId>,
}

/// Which sessions or clients were given a worker, of the last so many turns. Older turns are forgotten:
/// that bounds the memory, and one that waited so long comes before all newcomers, as it has waited
/// longer. Otherwise a constant flow of new ones could keep it waiting for ever.
#[derive(Debug)]
struct Turns<K> {
    remembered: u64,
    /// Number of the last turn.
    last: u64,
    of: HashMap<K, u64>,
}

/// A job that was not accepted, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub job: Box<Job>,
    pub failure: JobFailure,
}

impl Queue {
    /// An empty queue for this many jobs.
    pub fn new(capacity: usize) -> Self {
        // No more clients and sessions can wait at the same time, so each has a turn within so many.
        let remembered = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self {
            capacity,
            jobs: Vec::new(),
            clients: Turns::new(remembered),
            sessions: Turns::new(remembered),
        }
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Adds a job.
    ///
    /// # Errors
    /// The job, if too many wait, or too many of its session or its client.
    pub fn push(&mut self, job: Job) -> Result<(), Refused> {
        let priority = job.spec.priority;
        let session = job.spec.session;
        let of_session = self.jobs.iter().filter(|job| job.spec.session == session);
        let client = job.spec.client();
        let of_client = self.jobs.iter().filter(|job| job.spec.client() == client);
        let (capacity, limit) = (self.limit(priority), self.part_limit(priority));
        let failure = if self.jobs.len() >= capacity {
            JobFailure::QueueFull { capacity }
        } else if of_session.count() >= limit {
            JobFailure::SessionQueueFull { limit }
        } else if of_client.count() >= limit {
            JobFailure::ClientQueueFull { limit }
        } else {
            self.jobs.push(job);
            return Ok(());
        };
        Err(Refused {
            job: Box::new(job),
            failure,
        })
    }

    /// Length of the queue up to which a job is accepted. Work ahead of time leaves room for what
    /// clients wait for.
    fn limit(&self, priority: JobPriority) -> usize {
        match priority {
            JobPriority::Requested => self.capacity,
            JobPriority::Ahead => self.capacity / 2,
        }
    }

    /// Number of a session's or a client's waiting jobs up to which another one is accepted. Here too, work ahead
    /// of time leaves room: it must not shut out what the session's own client waits for.
    fn part_limit(&self, priority: JobPriority) -> usize {
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

    /// Puts back what no worker has taken, in its order. The turns do not count: these come next.
    pub fn return_turns(&mut self, jobs: impl DoubleEndedIterator<Item = Job>) {
        for job in jobs.rev() {
            self.sessions.forget(&job.spec.session);
            self.clients.forget(&job.spec.client());
            self.put_back(job);
        }
    }

    /// Takes the next job of those that fit, and counts a turn of its session and its client. Cancelled jobs are
    /// left: see [`take_cancelled`](Self::take_cancelled).
    pub fn take(&mut self, now: Instant, fits: impl Fn(&Job) -> bool) -> Option<Job> {
        let candidates = self.jobs.iter().enumerate();
        let (next, _) = candidates
            .filter(|(_, job)| !job.is_cancelled() && fits(job))
            // Of equals, it finds the first.
            .min_by_key(|(_, job)| self.rank(job, now))?;
        let job = self.jobs.remove(next);
        self.sessions.count(job.spec.session);
        self.clients.count(job.spec.client());
        Some(job)
    }

    /// Whether one of the jobs that fit would be taken before a job that runs, if that waited again.
    pub fn precedes(&self, running: &Job, now: Instant, fits: impl Fn(&Job) -> bool) -> bool {
        let (priority, client, session) = self.rank(running, now);
        // It has had a turn, even if that is forgotten.
        let rank = (priority, client.or(Some(0)), session.or(Some(0)));
        let mut waiting = self.jobs.iter();
        waiting.any(|job| !job.is_cancelled() && fits(job) && self.rank(job, now) < rank)
    }

    /// The least is next.
    fn rank(&self, job: &Job, now: Instant) -> (JobPriority, Option<u64>, Option<u64>) {
        let client = self.clients.of(&job.spec.client());
        let session = self.sessions.of(&job.spec.session);
        (priority(job, now), client, session)
    }

    /// Takes the jobs that are cancelled.
    pub fn take_cancelled(&mut self) -> Vec<Job> {
        self.jobs.extract_if(.., |job| job.is_cancelled()).collect()
    }

    /// Takes the jobs that have waited for so long.
    pub fn take_waiting(&mut self, now: Instant, time: Duration) -> Vec<Job> {
        let waited = |job: &mut Job| now.saturating_duration_since(job.submitted) >= time;
        self.jobs.extract_if(.., waited).collect()
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

impl<K: Hash + Eq> Turns<K> {
    fn new(remembered: u64) -> Self {
        Self {
            remembered,
            last: 0,
            of: HashMap::new(),
        }
    }

    /// The last turn of one. None, which is less than any, if it had none.
    fn of(&self, one: &K) -> Option<u64> {
        self.of.get(one).copied()
    }

    fn count(&mut self, one: K) {
        self.last += 1;
        self.of.insert(one, self.last);
        let forgotten = self.last.saturating_sub(self.remembered);
        self.of.retain(|_, turn| *turn > forgotten);
    }

    fn forget(&mut self, one: &K) {
        self.of.remove(one);
    }
}

#[cfg(test)]
mod tests;
