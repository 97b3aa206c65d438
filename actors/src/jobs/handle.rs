//! The two ends of a submitted job.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{JobDone, JobEvent, JobFailure};

/// Limit of unread events of a job. Progress beyond it is dropped, because later progress
/// supersedes it.
const MAX_WAITING_EVENTS: usize = 64;

/// A submitted job. Dropping it cancels the job.
#[derive(Debug)]
pub(crate) struct JobHandle {
    events: mpsc::Receiver<JobEvent>,
    /// None after the end was read.
    end: Option<oneshot::Receiver<Result<JobDone, JobFailure>>>,
    cancelled: DropGuard,
}

impl JobHandle {
    /// A job's handle, and the sender for its dispatcher.
    pub fn channel() -> (JobSender, Self) {
        let (events, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let (end, ended) = oneshot::channel();
        let cancelled = CancellationToken::new();
        let sender = JobSender {
            reporter: JobReporter {
                events,
                cancelled: cancelled.clone(),
            },
            end,
        };
        let handle = Self {
            events: receiver,
            end: Some(ended),
            cancelled: cancelled.drop_guard(),
        };
        (sender, handle)
    }

    /// A guard that cancels the job when it is dropped, like the handle.
    pub fn cancel_guard(&self) -> DropGuard {
        self.cancelled.token().clone().drop_guard()
    }

    /// The next event, or none after [`JobEvent::Done`] or [`JobEvent::Failed`].
    pub async fn next(&mut self) -> Option<JobEvent> {
        let end = self.end.as_mut()?;
        let ended = tokio::select! {
            biased;
            Some(event) = self.events.recv() => return Some(event),
            ended = end => ended,
        };
        self.end = None;
        Some(match ended {
            Ok(Ok(done)) => JobEvent::Done(done),
            Ok(Err(failure)) => JobEvent::Failed(failure),
            // The dispatcher has failed, and its jobs with it.
            Err(_) => JobEvent::Failed(JobFailure::WorkerDied(
                "the pool of workers is gone".to_owned(),
            )),
        })
    }

    /// Waits for the end and ignores progress.
    ///
    /// # Errors
    /// [`JobFailure`] if the job failed.
    pub async fn end(mut self) -> Result<JobDone, JobFailure> {
        loop {
            match self.next().await {
                Some(JobEvent::Done(done)) => return Ok(done),
                Some(JobEvent::Failed(failure)) => return Err(failure),
                Some(JobEvent::Accepted | JobEvent::Waiting | JobEvent::Progress(_)) => {}
                None => return Err(JobFailure::Cancelled),
            }
        }
    }
}

/// A dispatcher's end of a job. The holder must end the job.
#[derive(Debug)]
pub(crate) struct JobSender {
    reporter: JobReporter,
    end: oneshot::Sender<Result<JobDone, JobFailure>>,
}

impl JobSender {
    pub fn reporter(&self) -> &JobReporter {
        &self.reporter
    }

    /// Sends the last event, or drops it if the submitter has stopped waiting.
    pub fn end(self, outcome: Result<JobDone, JobFailure>) {
        drop(self.end.send(outcome));
    }
}

/// Reports progress, and tells whether the job was cancelled. Clones belong to the same job.
#[derive(Debug, Clone)]
pub(crate) struct JobReporter {
    events: mpsc::Sender<JobEvent>,
    cancelled: CancellationToken,
}

impl JobReporter {
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Is cancelled with the job.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Sends an event that is not the last one. Dropped if too many wait to be read.
    pub fn report(&self, event: JobEvent) {
        drop(self.events.try_send(event));
    }
}
