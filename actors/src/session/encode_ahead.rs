//! Encoding frames while the client still uploads, before a request needs them.

use std::collections::HashMap;
use std::sync::Arc;

use pointstream_reconstruction::map::PlaceVector;
use tokio_util::sync::DropGuard;

use super::context::Context;
use super::ledger::{Image, Ledger};
use super::message::SessionMessage;
use crate::ids::{JobId, SessionId};
use crate::jobs::{Dispatcher, JobDone, JobFailure, JobKind, JobPriority, JobSpec};

/// The session's jobs that encode frames ahead of time, and their frames at the dispatcher.
/// Dropping it cancels the jobs and drops the frames.
pub(super) struct EncodeAhead {
    context: Context,
    /// Jobs that run or wait. Dropping a guard cancels its job. Declared before `kept`: jobs are
    /// cancelled first, so that none keeps a frame afterwards.
    jobs: HashMap<JobId, EncodeJob>,
    /// Images that were considered, from the first one on.
    offered: usize,
    kept: KeptFrames,
}

/// A job that encodes one frame.
struct EncodeJob {
    /// Number of the image.
    number: u64,
    /// Cancels the job when it is dropped.
    _cancel: DropGuard,
}

/// A session's encoded frames at the dispatcher.
struct KeptFrames {
    dispatcher: Arc<dyn Dispatcher>,
    session: SessionId,
}

impl Drop for KeptFrames {
    fn drop(&mut self) {
        self.dispatcher.forget(self.session);
    }
}

impl EncodeAhead {
    pub fn new(context: Context) -> Self {
        Self {
            jobs: HashMap::new(),
            offered: 0,
            kept: KeptFrames {
                dispatcher: context.dispatcher.clone(),
                session: context.id,
            },
            context,
        }
    }

    /// Submits frames until enough are in progress. A request encodes those that are refused or
    /// fail.
    pub fn advance(&mut self, ledger: &Ledger) {
        let images = ledger.images();
        let Some(size) = images.first().map(|image| image.size) else {
            return;
        };
        while let Some(image) = images.get(self.offered) {
            if self.jobs.len() >= self.context.dispatcher.encode_ahead_limit(size) {
                return;
            }
            self.offered += 1;
            // Frames of other sizes are cropped to a common size that is not known yet. What a window was
            // faster with is not needed.
            if image.size == size && !is_placed(ledger, image.number) {
                self.submit(image);
            }
        }
    }

    /// Cancels the jobs of frames that windows have had. Their frames would be kept for good: what the pool
    /// keeps for windows is dropped as others come.
    pub fn withdraw(&mut self, ledger: &Ledger) {
        self.jobs.retain(|_, job| !is_placed(ledger, job.number));
    }

    fn submit(&mut self, image: &Image) {
        let id = JobId::new_v4();
        let job = self.context.dispatcher.submit(JobSpec {
            id,
            session: self.context.id,
            creator: self.context.creator.clone(),
            kind: JobKind::Encode,
            priority: JobPriority::Ahead,
            frames: vec![self.context.job_frame(image)],
            size: image.size,
            runs: Vec::new(),
            divisible: false,
        });
        let encode = EncodeJob {
            number: image.number,
            _cancel: job.cancel_guard(),
        };
        self.jobs.insert(id, encode);
        let mailbox = &self.context.mailbox;
        mailbox.detached_work(job.end(), move |outcome| SessionMessage::EncodeEnded {
            job: id,
            outcome,
        });
    }

    /// A job has ended. Returns the image's vector, if the model gave one.
    pub fn ended(
        &mut self,
        job: JobId,
        outcome: Result<JobDone, JobFailure>,
    ) -> Option<(u64, PlaceVector)> {
        let encode = self.jobs.remove(&job);
        match outcome {
            Ok(done) => Some((encode?.number, done.places.into_iter().flatten().next()?)),
            Err(error) => {
                tracing::debug!(%error, "a frame was not encoded ahead of time");
                None
            }
        }
    }

    /// Cancels all jobs and drops all frames: no request will need them.
    pub fn finish(&mut self) {
        self.jobs.clear();
        self.kept.dispatcher.forget(self.kept.session);
    }
}

/// Whether a window has had the image.
fn is_placed(ledger: &Ledger, number: u64) -> bool {
    let map = ledger.map();
    map.is_some_and(|stored| stored.map.contains(number))
}
