//! Jobs that one worker does together.

use std::sync::Arc;
use std::time::Instant;

use super::job::Job;
use super::queue::Queue;
use super::task::TaskJob;
use crate::actor_status::CurrentJob;
use crate::ids::{JobId, SessionId};

/// One job, or jobs of several sessions whose frames are encoded in one call.
#[derive(Debug)]
pub(super) struct Batch {
    first: Job,
    others: Vec<Job>,
}

impl Batch {
    /// A job, and the jobs of the queue that join it, up to so many frames. Sessions take turns to
    /// join, too.
    pub fn collect(first: Job, queue: &mut Queue, most_frames: usize, now: Instant) -> Self {
        let mut batch = Self {
            first,
            others: Vec::new(),
        };
        while let Some(room) = most_frames.checked_sub(batch.frames()) {
            let joins = |job: &Job| job.spec.frames.len() <= room && batch.first.joins(job);
            let Some(job) = queue.take(now, joins) else {
                break;
            };
            batch.others.push(job);
        }
        batch
    }

    /// The jobs in their order.
    pub fn into_jobs(self) -> impl DoubleEndedIterator<Item = Job> {
        std::iter::once(self.first).chain(self.others)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The creator whose job has got the worker; others have joined it.
    pub fn creator(&self) -> Option<&Arc<str>> {
        self.first.spec.creator.as_ref()
    }

    /// A job of it.
    pub fn find(&self, job: JobId) -> Option<&Job> {
        self.jobs().find(|other| other.spec.id == job)
    }

    /// The session whose job has got the worker.
    pub fn session(&self) -> SessionId {
        self.first.spec.session
    }

    fn frames(&self) -> usize {
        self.jobs().map(|job| job.spec.frames.len()).sum()
    }

    /// The job, if it may make way for others now.
    pub fn may_make_way(&self) -> Option<&Job> {
        let job = Some(&self.first).filter(|_| self.others.is_empty());
        job.filter(|job| job.turn.may_end(&job.spec))
    }

    /// Counts an attempt of each job.
    pub fn count_attempt(&mut self) {
        self.first.attempts += 1;
        for job in &mut self.others {
            job.attempts += 1;
        }
    }

    /// Takes back an attempt of each job.
    pub fn forgive_attempt(&mut self) {
        self.first.attempts = self.first.attempts.saturating_sub(1);
        for job in &mut self.others {
            job.attempts = job.attempts.saturating_sub(1);
        }
    }

    /// What the worker gets of the jobs, in their order.
    pub fn task_jobs(&self) -> Vec<TaskJob> {
        self.jobs()
            .map(|job| TaskJob {
                spec: job.spec.clone(),
                reporter: job.sender().reporter().clone(),
                turn: job.turn.clock().clone(),
                queued: job.submitted.elapsed().as_secs_f64(),
            })
            .collect()
    }

    /// What operators see of it.
    pub fn current(&self) -> CurrentJob {
        CurrentJob {
            kind: self.first.spec.kind.into(),
            session: self.first.spec.session,
            frames: self.frames(),
            since: Instant::now(),
        }
    }
}
