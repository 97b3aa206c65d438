//! Does an assignment: fetches what it reads, runs its jobs, and reports.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Shared;
use super::begun::Begun;
use super::confirmation::Confirmation;
use crate::blobs::{BlobKey, BlobName};
use crate::frames::frame_file_bytes;
use crate::ids::JobId;
use crate::jobs::{JobDone, JobEvent, JobFailure, JobHandle, JobSpec};
use crate::remote::exchange::ExchangeError;
use crate::remote::link::PostError;
use crate::remote::sealed::SealedBlob;
use crate::remote::wire::{Assignment, AssignmentId, Outcome, Progress, RemoteDone, Report};

/// Files of an assignment that are fetched at the same time.
const FETCHES: usize = 4;
/// The most bytes of what runs tell about their frames.
const LARGEST_LINKS: u64 = 256 << 20;
/// How long it waits before it tries again to send a report, and how often it tries.
const REPORT_RETRY: Duration = Duration::from_secs(2);
const REPORT_ATTEMPTS: u32 = 300;
/// How long JetStream waits before it delivers again what could not be read now.
const READ_RETRY: Duration = Duration::from_secs(2);

/// The assignments that are here, to cancel them or to have them make way.
#[derive(Default)]
pub(super) struct Assignments {
    here: Mutex<HashMap<AssignmentId, Here>>,
}

/// An assignment that is here.
struct Here {
    cancelled: CancellationToken,
    /// Its jobs in the pool.
    jobs: Vec<JobId>,
}

impl Assignments {
    fn here(&self) -> MutexGuard<'_, HashMap<AssignmentId, Here>> {
        // Entries are inserted and removed whole, so the content is valid after a panic too.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for it any more.
    pub fn cancel(&self, assignment: AssignmentId) {
        if let Some(here) = self.here().get(&assignment) {
            here.cancelled.cancel();
        }
    }

    fn is_here(&self, assignment: AssignmentId) -> bool {
        self.here().contains_key(&assignment)
    }

    /// Its jobs in the pool.
    pub fn jobs(&self, assignment: AssignmentId) -> Vec<JobId> {
        let here = self.here();
        here.get(&assignment)
            .map_or_else(Vec::new, |here| here.jobs.clone())
    }
}

impl Shared {
    /// Does an assignment. Once it is reported, it is done; otherwise it is delivered again, here or elsewhere.
    pub async fn carry_out(self: Arc<Self>, message: Message) {
        let message = Arc::new(message);
        let confirmation = Confirmation::start(message.clone());
        let read = self.link.open_letter::<Assignment>(&message.payload);
        let assignment = match read.await {
            Ok(assignment) => assignment,
            Err(error @ PostError::Bad(_)) => {
                // Its gateway is not known: the time limit of the job ends it.
                tracing::error!(%error, "an assignment cannot be read; it is set aside");
                return self.set_aside(&message).await;
            }
            Err(error) => {
                tracing::warn!(%error, "an assignment cannot be read now");
                return give_back(&message, Some(READ_RETRY)).await;
            }
        };
        if let Err(error) = assignment.check(self.settings.pool.model.metadata()) {
            tracing::error!(%error, "an assignment is wrong; it is set aside");
            self.keep_for_operator(&message).await;
            let failure = JobFailure::WorkerDied(format!("the worker refuses it: {error}"));
            let outcome = Outcome::failed(assignment.jobs.len(), failure);
            return self.finish(&assignment, outcome, &message).await;
        }
        if self.assignments.is_here(assignment.id) {
            // It was delivered again because this process stood still. What it began goes on.
            return drop(confirmation);
        }
        let _counted = self.count(assignment.gateway);
        let outcome = match self.begin(&assignment).await {
            Ok(Begun::First) => {
                tracing::debug!(assignment = %assignment.id, jobs = assignment.jobs.len(), "an assignment begins");
                tokio::select! {
                    outcome = self.run(&assignment) => outcome,
                    () = self.give_back.cancelled() => {
                        self.forgive(&assignment).await;
                        return give_back(&message, None).await;
                    }
                }
            }
            Ok(Begun::Before(nodes)) => {
                tracing::error!(
                    assignment = %assignment.id,
                    nodes,
                    "an assignment has ended its workers; it is set aside"
                );
                self.keep_for_operator(&message).await;
                let failure = format!("{nodes} workers began with it and did not report");
                Outcome::failed(assignment.jobs.len(), JobFailure::WorkerDied(failure))
            }
            Err(error) => {
                tracing::warn!(%error, "an assignment cannot begin now");
                return give_back(&message, Some(READ_RETRY)).await;
            }
        };
        self.finish(&assignment, outcome, &message).await;
    }

    /// Reports an assignment. Then it is done.
    async fn finish(&self, assignment: &Assignment, outcome: Outcome, message: &Message) {
        if self.report(assignment, outcome).await {
            log(message.double_ack().await);
            self.forget_begun(assignment).await;
            self.link.discard_letter(&message.payload).await;
        }
    }

    async fn run(self: &Arc<Self>, assignment: &Assignment) -> Outcome {
        let jobs = assignment.jobs.len();
        let mut in_use = Vec::new();
        for (job, maps) in assignment.jobs.iter().zip(&assignment.maps) {
            match self.files.begin(job.session, *maps).await {
                Ok((used, are_old)) => {
                    in_use.push(used);
                    if are_old {
                        self.forget_maps(job.session);
                    }
                }
                Err(error) => return Outcome::failed(jobs, store_failed(&error)),
            }
        }
        let specs: Vec<_> = assignment
            .jobs
            .iter()
            .map(|job| JobSpec {
                // The same job may come again while this one ends.
                id: JobId::new_v4(),
                // Whether it goes on as smaller jobs or begins again is for its gateway to say.
                divisible: true,
                ..job.clone()
            })
            .collect();
        let here = Registered::new(self, assignment.id, &specs);
        let fetched = tokio::select! {
            fetched = self.fetch(assignment) => fetched,
            () = here.cancelled.cancelled() => Err(JobFailure::Cancelled),
        };
        match fetched {
            Ok(missing) if !missing.is_empty() => return Outcome::Missing(missing),
            Ok(_) => {}
            Err(failure) => return Outcome::failed(jobs, failure),
        }
        let handles = self.dispatcher.submit_together(specs);
        let mut followed = Vec::with_capacity(handles.len());
        for (job, handle) in handles.into_iter().enumerate() {
            followed.push(self.follow(assignment, job, handle, &here.cancelled));
        }
        let ends = join_all(followed).await;
        drop(in_use);
        Outcome::Ended(ends)
    }

    fn forget_maps(&self, session: crate::ids::SessionId) {
        use crate::jobs::Dispatcher as _;
        self.dispatcher.forget_maps(session);
    }

    /// Fetches what is not here yet. Returns what is not in the store any more.
    async fn fetch(&self, assignment: &Assignment) -> Result<Vec<BlobKey>, JobFailure> {
        let expected = expected(&assignment.jobs);
        let mut seen = HashSet::new();
        let mut wanted = Vec::new();
        for blob in &assignment.blobs {
            if let Some(expected) = expected.get(&blob.key)
                && !self.files.has(&blob.key)
                && seen.insert(blob.key)
            {
                wanted.push(self.fetch_one(blob.clone(), *expected));
            }
        }
        let mut fetches = stream::iter(wanted).buffer_unordered(FETCHES);
        let mut missing = Vec::new();
        while let Some(fetched) = fetches.next().await {
            missing.extend(fetched?);
        }
        Ok(missing)
    }

    /// Fetches a file. Returns its key if it is not in the store any more.
    async fn fetch_one(
        &self,
        blob: SealedBlob,
        expected: Expected,
    ) -> Result<Option<BlobKey>, JobFailure> {
        let most = match expected {
            Expected::Exactly(bytes) | Expected::AtMost(bytes) => bytes,
        };
        let content = match blob.fetch(&self.link.exchange, most).await {
            Ok(content) => content,
            Err(ExchangeError::Missing) => return Ok(Some(blob.key)),
            Err(error @ (ExchangeError::Changed | ExchangeError::TooLarge { .. })) => {
                return Err(JobFailure::Frame(error.to_string()));
            }
            Err(error) => return Err(JobFailure::WorkerDied(error.to_string())),
        };
        if matches!(expected, Expected::Exactly(bytes) if bytes != content.len() as u64) {
            let message = "a shared image has another size than its job says".to_owned();
            return Err(JobFailure::Frame(message));
        }
        let kept = self.files.keep(blob.key, content).await;
        kept.map_err(|error| store_failed(&error))?;
        Ok(None)
    }

    /// Passes on what happens to a job, and its result.
    async fn follow(
        &self,
        assignment: &Assignment,
        job: usize,
        mut handle: JobHandle,
        cancelled: &CancellationToken,
    ) -> Result<RemoteDone, JobFailure> {
        loop {
            let event = tokio::select! {
                () = cancelled.cancelled() => return Err(JobFailure::Cancelled),
                event = handle.next() => event,
            };
            match event {
                Some(event @ (JobEvent::Accepted | JobEvent::Waiting | JobEvent::Progress(_))) => {
                    let subject = self.link.names.progress_to(assignment.gateway);
                    let assignment = assignment.id;
                    let progress = Progress {
                        assignment,
                        job,
                        event,
                    };
                    self.link.tell(subject, &progress).await;
                }
                Some(JobEvent::Done(done)) => return self.send(done).await,
                Some(JobEvent::Failed(failure)) => return Err(failure),
                None => return Err(JobFailure::Cancelled),
            }
        }
    }

    /// Sends the result of a job to the store.
    async fn send(&self, done: JobDone) -> Result<RemoteDone, JobFailure> {
        let result = match done.result {
            None => None,
            Some(key) => {
                let content = self.files.take(key).await;
                let content = content.map_err(|error| store_failed(&error))?;
                let object = format!("jobs/{}/{}", key.session, Uuid::new_v4());
                let sent = SealedBlob::store(&self.link.exchange, object, key, content).await;
                Some(sent.map_err(|error| JobFailure::WorkerDied(error.to_string()))?)
            }
        };
        Ok(RemoteDone {
            result,
            places: done.places,
            adjusted: done.adjusted,
            timings: done.timings,
        })
    }

    /// Sends a report until it is confirmed. Returns whether it was.
    async fn report(&self, assignment: &Assignment, outcome: Outcome) -> bool {
        let report = Report {
            assignment: assignment.id,
            node: self.id,
            outcome,
        };
        let subject = self.link.names.reports_to(assignment.gateway);
        // The same one of another delivery counts once.
        let id = assignment.id.to_string();
        for _ in 0..REPORT_ATTEMPTS {
            match self.link.post(subject.clone(), &id, &report).await {
                Ok(_) => return true,
                Err(error) => tracing::warn!(%error, "a report is not confirmed; it is sent again"),
            }
            tokio::time::sleep(REPORT_RETRY).await;
        }
        tracing::error!(assignment = %assignment.id, "a report cannot be sent; its jobs run again");
        false
    }

    async fn set_aside(&self, message: &Message) {
        self.keep_for_operator(message).await;
        log(message.double_ack_with(AckKind::Term).await);
    }

    async fn keep_for_operator(&self, message: &Message) {
        let subject = self.link.names.poison_subject();
        let id = message.info().map(|info| info.stream_sequence.to_string());
        let id = id.unwrap_or_else(|_| Uuid::new_v4().to_string());
        let kept = self.link.post_bytes(subject, &id, message.payload.clone());
        if let Err(error) = kept.await {
            tracing::error!(%error, "an assignment that failed cannot be kept");
        }
    }
}

/// An assignment, as long as it is here.
struct Registered<'a> {
    shared: &'a Shared,
    assignment: AssignmentId,
    cancelled: CancellationToken,
}

impl<'a> Registered<'a> {
    fn new(shared: &'a Shared, assignment: AssignmentId, jobs: &[JobSpec]) -> Self {
        let cancelled = CancellationToken::new();
        let here = Here {
            cancelled: cancelled.clone(),
            jobs: jobs.iter().map(|job| job.id).collect(),
        };
        shared.assignments.here().insert(assignment, here);
        Self {
            shared,
            assignment,
            cancelled,
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.assignments.here().remove(&self.assignment);
    }
}

/// How large a file must be.
#[derive(Clone, Copy)]
enum Expected {
    Exactly(u64),
    AtMost(u64),
}

/// What the jobs read.
fn expected(jobs: &[JobSpec]) -> HashMap<BlobKey, Expected> {
    let frames = jobs.iter().flat_map(|job| &job.frames).map(|frame| {
        let bytes = frame_file_bytes(frame.size, frame.has_hidden);
        (frame.blob, Expected::Exactly(bytes))
    });
    let runs = jobs.iter().flat_map(|job| &job.runs).map(|run| {
        let key = run.prediction;
        (key, Expected::AtMost(LARGEST_LINKS))
    });
    let readable =
        |key: &BlobKey| matches!(key.name, BlobName::Prepared(_) | BlobName::Prediction(_));
    frames
        .chain(runs)
        .filter(|(key, _)| readable(key))
        .collect()
}

fn store_failed(error: &std::io::Error) -> JobFailure {
    JobFailure::Store {
        message: error.to_string(),
        disk_full: crate::error_kind::ErrorKind::of_files(error)
            == crate::error_kind::ErrorKind::DiskFull,
    }
}

/// Has an assignment delivered again, to any node.
async fn give_back(message: &Message, delay: Option<Duration>) {
    log(message.double_ack_with(AckKind::Nak(delay)).await);
}

fn log(outcome: Result<(), async_nats::Error>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "JetStream did not confirm");
    }
}
