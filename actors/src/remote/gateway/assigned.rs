//! An assignment on its way.

use std::sync::Arc;
use std::time::Duration;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::prediction::Prediction;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{Gateway, MAX_WAITING_PROGRESS, Waiting, in_background};
use crate::blobs::{BlobKey, BlobName};
use crate::error_kind::ErrorKind;
use crate::jobs::{JobFailure, JobSpec};
use crate::remote::exchange::ExchangeError;
use crate::remote::link::{Link, PostError};
use crate::remote::sealed::SealedBlob;
use crate::remote::wire::{Assignment, AssignmentId, Control, NodeId, Progress, Report};

/// How long it waits before it tries again to send something.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// An assignment could not be given to a node, or its result not be fetched.
#[derive(Debug, Error)]
pub(crate) enum AssignError {
    #[error("NATS was not reached yet")]
    NotConnected,
    #[error("a stored file cannot be read: {0}: {1}")]
    Blob(BlobName, String),
    #[error("an earlier prediction cannot be read: {0}")]
    Prediction(String),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Post(#[from] PostError),
}

impl From<AssignError> for JobFailure {
    fn from(error: AssignError) -> Self {
        match error {
            AssignError::Blob(..) => Self::Frame(format!("a stored image cannot be read: {error}")),
            AssignError::Prediction(message) => Self::Prediction(message),
            _ => Self::WorkerDied(error.to_string()),
        }
    }
}

/// An assignment that a node has, or will have. Dropping it withdraws it.
pub(crate) struct Assigned {
    pub progress: mpsc::Receiver<Progress>,
    pub report: oneshot::Receiver<Report>,
    withdrawal: Withdrawal,
}

/// Withdraws an assignment when it is dropped, unless it was reported.
struct Withdrawal {
    gateway: Arc<Gateway>,
    link: Arc<Link>,
    id: AssignmentId,
    /// Its number in the work queue, once it is there.
    sequence: Option<u64>,
    is_reported: bool,
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        self.gateway.waiting().remove(&self.id);
        if self.is_reported {
            return;
        }
        let (link, id, sequence) = (self.link.clone(), self.id, self.sequence);
        in_background(async move {
            // A node that has it stops; one that does not have it yet does not get it.
            link.tell(link.names.control(), &Control::Cancel(id)).await;
            if let Some(sequence) = sequence {
                let deleted = link.jobs.delete_message(sequence).await;
                tracing::debug!(sequence, ok = deleted.is_ok(), "an assignment is withdrawn");
            }
        });
    }
}

impl Assigned {
    pub fn id(&self) -> AssignmentId {
        self.withdrawal.id
    }

    /// Its report has come.
    pub fn reported(mut self) {
        self.withdrawal.is_reported = true;
    }
}

impl Gateway {
    /// Sends what a job reads, unless it was sent before. While the store does not answer, it tries again until the
    /// future is dropped.
    ///
    /// # Errors
    /// [`AssignError`] if a file cannot be read.
    pub async fn send_files(&self, job: &JobSpec) -> Result<Vec<SealedBlob>, AssignError> {
        let link = self.link().ok_or(AssignError::NotConnected)?;
        loop {
            match self.sent.of_job(&link, &self.blobs, job).await {
                Err(AssignError::Exchange(error)) => wait_after(&error).await,
                sent => return sent,
            }
        }
    }

    /// Puts jobs into the queue of a node. `blobs` is what they read. While NATS does not answer, it tries again
    /// until the future is dropped.
    ///
    /// # Errors
    /// [`AssignError`] if they cannot be written as a message.
    pub async fn assign(
        self: &Arc<Self>,
        node: NodeId,
        jobs: &[&JobSpec],
        blobs: Vec<SealedBlob>,
    ) -> Result<Assigned, AssignError> {
        let link = self.link().ok_or(AssignError::NotConnected)?;
        let assignment = Assignment {
            id: AssignmentId::new_v4(),
            gateway: self.id(),
            jobs: jobs.iter().copied().cloned().collect(),
            maps: jobs.iter().map(|job| self.sent.maps(job.session)).collect(),
            blobs,
        };
        let (progress, waiting_progress) = mpsc::channel(MAX_WAITING_PROGRESS);
        let (report, waiting_report) = oneshot::channel();
        self.waiting()
            .insert(assignment.id, Waiting { progress, report });
        let mut assigned = Assigned {
            progress: waiting_progress,
            report: waiting_report,
            withdrawal: Withdrawal {
                gateway: self.clone(),
                link: link.clone(),
                id: assignment.id,
                sequence: None,
                is_reported: false,
            },
        };
        // Posted twice with one identifier, it is there once.
        let id = assignment.id.to_string();
        let sequence = loop {
            let subject = link.names.jobs_of(&self.model_key(), node);
            match link.post(subject, &id, &assignment).await {
                Err(error @ PostError::Bad(_)) => return Err(error.into()),
                Err(error) => wait_after(&error).await,
                Ok(sequence) => break sequence,
            }
        };
        assigned.withdrawal.sequence = Some(sequence);
        Ok(assigned)
    }

    /// These files of an assignment are lost. The next assignment sends them again.
    pub fn lost(&self, keys: &[BlobKey]) {
        self.sent.lost(keys);
    }

    /// Fetches the prediction of so many frames of this size, and stores it here, under a key of this process.
    ///
    /// # Errors
    /// The failure of its job, also if it is another prediction.
    pub async fn fetch(
        &self,
        blob: &SealedBlob,
        frames: usize,
        size: FrameSize,
    ) -> Result<BlobKey, JobFailure> {
        let link = self.link().ok_or(AssignError::NotConnected)?;
        let most = most_bytes(frames, size);
        let content = blob.fetch(&link.exchange, most).await;
        let content = content.map_err(AssignError::from)?;
        link.remove(blob).await;
        let key = BlobKey {
            session: blob.key.session,
            name: BlobName::Prediction(Uuid::new_v4()),
        };
        let blobs = self.blobs.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let found = Prediction::from_safetensors(content.as_slice());
            let found = found.map_err(|error| JobFailure::WorkerDied(error.to_string()))?;
            if found.len() != frames || found.size != size {
                let message = "its worker sent a prediction of other frames".to_owned();
                return Err(JobFailure::WorkerDied(message));
            }
            drop(found);
            let stored = blobs.put_bytes(&key, &content);
            stored.map_err(|error| JobFailure::Store {
                message: error.to_string(),
                disk_full: ErrorKind::of_files(&error) == ErrorKind::DiskFull,
            })
        });
        stored
            .await
            .map_err(|error| JobFailure::WorkerDied(error.to_string()))??;
        Ok(key)
    }
}

/// Waits before another attempt.
async fn wait_after(error: &(dyn std::error::Error + Sync)) {
    tracing::warn!(%error, retry_in = ?RETRY_DELAY, "a job for another machine waits");
    tokio::time::sleep(RETRY_DELAY).await;
}

/// The most bytes of a prediction of so many frames: two maps of 4 bytes a pixel, and for each frame its camera,
/// its report and its links, of which models give at most some thousands.
fn most_bytes(frames: usize, size: FrameSize) -> u64 {
    const REST_OF_FRAME: u64 = 4 << 20;
    let frame = size
        .pixels()
        .saturating_mul(8)
        .saturating_add(REST_OF_FRAME);
    frame.saturating_mul(frames as u64).saturating_add(1 << 20)
}
