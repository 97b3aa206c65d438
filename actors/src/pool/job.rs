//! What is asked of a worker.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use image::RgbImage;
use pointstream_reconstruction::image::center_crop;
use pointstream_reconstruction::model::{Features, FrameSize, Model, ModelError, Step};
use pointstream_reconstruction::prediction::Prediction;
use thiserror::Error;

use crate::event::SessionId;
use crate::features::FeatureCell;
use crate::gauge::CurrentJob;
use crate::mailbox::Reply;
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
            Ok(center_crop(&image, size.width, size.height))
        }
    }
}

/// A frame of a reconstruction.
#[derive(Clone)]
pub(crate) struct JobFrame {
    /// Its pixels.
    pub pixels: SpooledFrame,
    /// Where a worker may have left what it made of it earlier.
    pub features: Arc<FeatureCell>,
}

/// The work itself, shared so that it can be tried again.
#[derive(Clone)]
pub(crate) enum Work {
    /// Encode one frame while its client still uploads.
    Encode(JobFrame),
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
    /// The job took too long.
    #[error(
        "the model took longer than {0} seconds and was stopped; use fewer images or a smaller process_res"
    )]
    TimedOut(u64),
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
    pub reply: Reply<Result<JobOutput, JobError>>,
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
        }
    }

    /// What a gauge shows of it.
    pub fn current(&self) -> CurrentJob {
        let (kind, frames) = match &self.work {
            Work::Encode(_) => ("encode", 1),
            Work::Reconstruct { frames, .. } => ("reconstruct", frames.len()),
        };
        CurrentJob {
            kind,
            session: self.session,
            frames,
            since: Instant::now(),
        }
    }
}

/// The part of a job that a worker's thread gets.
pub(crate) struct Task {
    /// What is to be done.
    pub work: Work,
    /// Set when the result is not wanted any more or the worker was given up.
    pub stop: StopSignal,
    /// How long the job waited, in seconds.
    pub queued: f64,
}

/// Tells a running computation that it may end.
#[derive(Clone)]
pub(crate) struct StopSignal {
    /// Of the job.
    pub cancelled: Arc<AtomicBool>,
    /// Of the worker.
    pub abandoned: Arc<AtomicBool>,
}

impl StopSignal {
    fn check(&self) -> ControlFlow<()> {
        if self.cancelled.load(Ordering::Relaxed) || self.abandoned.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Task {
    /// Does the work. Blocks for as long as it takes.
    pub fn run(&self, model: &dyn Model) -> Result<JobOutput, JobError> {
        match &self.work {
            Work::Encode(frame) => {
                if self.stop.check().is_break() {
                    return Err(ModelError::Cancelled.into());
                }
                let image = frame.pixels.read(frame.pixels.size)?;
                frame.features.keep(Arc::new(model.encode(&image)?));
                Ok(JobOutput::Encoded)
            }
            Work::Reconstruct {
                frames,
                size,
                on_progress,
            } => {
                on_progress(JobProgress::Started);
                self.reconstruct(model, frames, *size, on_progress.as_ref())
            }
        }
    }

    fn reconstruct(
        &self,
        model: &dyn Model,
        frames: &[JobFrame],
        size: FrameSize,
        on_progress: &(dyn Fn(JobProgress) + Send + Sync),
    ) -> Result<JobOutput, JobError> {
        let mut timings = JobTimings {
            queued: self.queued,
            ..JobTimings::default()
        };
        let total = frames.len();
        let mut features = Vec::with_capacity(total);
        for (index, frame) in frames.iter().enumerate() {
            if self.stop.check().is_break() {
                return Err(ModelError::Cancelled.into());
            }
            features.push(match frame.features.get(size) {
                Some(known) => known,
                None => {
                    let start = Instant::now();
                    let image = frame.pixels.read(size)?;
                    timings.frames += start.elapsed().as_secs_f64();
                    let start = Instant::now();
                    let encoded = Arc::new(model.encode(&image)?);
                    timings.encode += start.elapsed().as_secs_f64();
                    frame.features.keep(encoded.clone());
                    encoded
                }
            });
            let done = index + 1;
            on_progress(JobProgress::Encoded { done, total });
        }
        let start = Instant::now();
        let rows: Vec<&Features> = features.iter().map(Arc::as_ref).collect();
        let prediction = model.predict(&rows, &mut |step| {
            on_progress(JobProgress::Model(step));
            self.stop.check()
        })?;
        timings.model = start.elapsed().as_secs_f64();
        Ok(JobOutput::Prediction {
            prediction: Box::new(prediction),
            timings,
        })
    }
}
