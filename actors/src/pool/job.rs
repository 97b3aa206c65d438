//! What is asked of a worker.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use image::RgbImage;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::center_crop;
use pointstream_reconstruction::model::{KnownCamera, ModelError, Shortage, Step};
use pointstream_reconstruction::prediction::Prediction;
use thiserror::Error;

use crate::event::SessionId;
use crate::features::FeatureCell;
use crate::gauge::CurrentJob;
use crate::mailbox::{Reply, answer};
use crate::metrics::{JobOutcome, PoolMetrics};
use crate::spool::Spool;

/// A prepared frame on disk.
#[derive(Debug, Clone)]
pub(crate) struct SpooledFrame {
    /// Where it lies.
    pub spool: Spool,
    /// Its number there.
    pub number: u64,
    /// Its size there.
    pub size: FrameSize,
}

impl SpooledFrame {
    /// Reads it, cut to the size that all frames of a generation have. Blocks.
    pub fn read(&self, size: FrameSize) -> Result<RgbImage, JobError> {
        let image = self
            .spool
            .read_prepared(self.number, self.size)
            .map_err(|error| JobError::Frame(error.to_string()))?;
        if self.size == size {
            Ok(image)
        } else {
            Ok(center_crop(&image, size))
        }
    }
}

/// A frame of a reconstruction.
#[derive(Clone)]
pub(crate) struct JobFrame {
    /// Its pixels.
    pub pixels: SpooledFrame,
    /// Its camera, if the client knows it.
    pub camera: Option<KnownCamera>,
    /// Where a worker may have left what it made of it earlier.
    pub features: Arc<FeatureCell>,
}

/// The work itself, shared so that it can be tried again.
#[derive(Clone)]
pub(crate) enum Work {
    /// Encode frames of one size while their clients still upload.
    Encode(Vec<JobFrame>),
    /// Predict depth and cameras of frames.
    Reconstruct {
        /// The frames.
        frames: Arc<[JobFrame]>,
        /// The size that all of them are cut to.
        size: FrameSize,
        /// Told how far it has come.
        on_progress: Arc<dyn Fn(JobProgress) + Send + Sync>,
    },
}

/// How far a reconstruction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobProgress {
    /// A worker has taken it up.
    Started,
    /// This many frames are encoded.
    Encoded {
        /// Frames done.
        done: usize,
        /// Frames altogether.
        total: usize,
    },
    /// The model runs.
    Model(Step),
}

/// What comes of a job.
pub(crate) enum JobOutput {
    /// Of [`Work::Encode`]: the frame's cell has it, if the budget allowed.
    Encoded,
    /// Of [`Work::Reconstruct`].
    Prediction {
        /// Depth, confidence and cameras.
        prediction: Box<Prediction>,
        /// Where the time went.
        timings: JobTimings,
    },
}

/// Seconds spent in the parts of a reconstruction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct JobTimings {
    /// Waiting for a worker.
    pub queued: f64,
    /// Reading frames.
    pub frames: f64,
    /// Encoding frames that were not encoded earlier.
    pub encode: f64,
    /// Relating frames and estimating depth.
    pub model: f64,
}

/// Why a job came to nothing.
#[derive(Debug, Error)]
pub(crate) enum JobError {
    /// The model says no.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A spooled frame cannot be read.
    #[error("a stored image cannot be read: {0}")]
    Frame(String),
    /// The worker died, and again on the second try.
    #[error("the worker failed twice on this request: {0}")]
    WorkerDied(String),
    /// There is not enough memory, so nothing was begun.
    #[error("{} images need more memory than is free", .0.frames)]
    Memory(Shortage),
    /// The job took too long.
    #[error(
        "the model took longer than {0} seconds and was stopped; use fewer images or a smaller process_res"
    )]
    TimedOut(u64),
    /// The job that it was joined to failed.
    #[error("it was done together with others, and they failed: {0}")]
    Joined(String),
    /// There are too many jobs already.
    #[error("the server is busy: {capacity} jobs are waiting; try again later")]
    QueueFull {
        /// How many may wait.
        capacity: usize,
    },
    /// No worker can load the model.
    #[error("no worker can load the model: {0}")]
    NoWorker(String),
    /// The system ends.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl JobError {
    /// Whether the worker's state is in doubt after it.
    pub fn needs_restart(&self) -> bool {
        matches!(
            self,
            Self::Model(
                ModelError::Call { .. }
                    | ModelError::Output { .. }
                    | ModelError::OutOfMemory { .. }
            )
        )
    }
}

/// A job on its way through the pool. Whoever holds it owes its reply.
pub(crate) struct Job {
    /// For which session.
    pub session: SessionId,
    /// What is to be done.
    pub work: Work,
    /// Set when nobody wants the result any more.
    pub cancelled: Arc<AtomicBool>,
    /// When it was submitted.
    pub submitted: Instant,
    /// How often a worker has taken it up.
    pub attempts: u32,
    /// Where the result goes.
    reply: Reply<Result<JobOutput, JobError>>,
    /// Who else waits for it: the jobs that were joined to this one.
    joined: Vec<Reply<Result<JobOutput, JobError>>>,
}

impl Job {
    /// A new job.
    pub fn new(
        session: SessionId,
        work: Work,
        cancelled: Arc<AtomicBool>,
        reply: Reply<Result<JobOutput, JobError>>,
    ) -> Self {
        Self {
            session,
            work,
            cancelled,
            submitted: Instant::now(),
            attempts: 0,
            reply,
            joined: Vec::new(),
        }
    }

    /// The frames' size, of a job that encodes.
    pub fn encoded_size(&self) -> Option<FrameSize> {
        match &self.work {
            Work::Encode(frames) => frames.first().map(|frame| frame.pixels.size),
            Work::Reconstruct { .. } => None,
        }
    }

    /// How many frames it is about.
    pub fn frames(&self) -> usize {
        match &self.work {
            Work::Encode(frames) => frames.len(),
            Work::Reconstruct { frames, .. } => frames.len(),
        }
    }

    /// Does another job that encodes frames of the same size together with this one. They share
    /// their fate; any other kind of job is given back.
    pub fn join(&mut self, other: Self) -> Result<(), Box<Self>> {
        if self.encoded_size().is_none() || self.encoded_size() != other.encoded_size() {
            return Err(Box::new(other));
        }
        if let (Work::Encode(frames), Work::Encode(others)) = (&mut self.work, other.work) {
            frames.extend(others);
            self.joined.push(other.reply);
            self.joined.extend(other.joined);
        }
        Ok(())
    }

    /// Answers everybody who waits for it, and counts how it ended.
    pub fn answer(self, metrics: &PoolMetrics, result: Result<JobOutput, JobError>) {
        let jobs = 1 + self.joined.len();
        metrics.jobs_ended(self.kind(), JobOutcome::of(&result), jobs);
        for reply in self.joined {
            answer(
                reply,
                match &result {
                    Ok(_) => Ok(JobOutput::Encoded),
                    Err(error) => Err(JobError::Joined(error.to_string())),
                },
            );
        }
        answer(self.reply, result);
    }

    /// What kind of work it is, in one word.
    pub fn kind(&self) -> &'static str {
        match &self.work {
            Work::Encode(_) => "encode",
            Work::Reconstruct { .. } => "reconstruct",
        }
    }

    /// What a gauge shows of it.
    pub fn current(&self) -> CurrentJob {
        CurrentJob {
            kind: self.kind(),
            session: self.session,
            frames: self.frames(),
            since: Instant::now(),
        }
    }
}
