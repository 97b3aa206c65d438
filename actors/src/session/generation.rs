//! One generation: from stored frames to a result on disk.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use pointstream_reconstruction::cloud::{CloudError, World};
use pointstream_reconstruction::formats::WriteError;
use pointstream_reconstruction::formats::glb::GlbError;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::common_size;
use pointstream_reconstruction::model::{LoadModel, ModelError, Step};
use pointstream_reconstruction::prediction::Prediction;
use thiserror::Error;
use tokio::sync::oneshot;

use super::SessionMessage;
use super::memory_advice::MemoryAdvice;
use super::result::StoredResult;
use crate::config::SessionConfig;
use crate::event::{AnswerKind, Progress, SessionId, Stage};
use crate::mailbox::Mailbox;
use crate::metrics::ErrorKind;
use crate::pool::PoolMessage;
use crate::pool::job::{Job, JobError, JobFrame, JobOutput, JobProgress, JobTimings, Work};
use crate::spool::Spool;
use crate::workshop::{WorkFailed, Workshop};

/// What is to be generated, and with what.
pub(super) struct Plan {
    pub session: SessionId,
    pub kind: AnswerKind,
    /// Names the result's file.
    pub number: u64,
    pub asked: Instant,
    /// At least one.
    pub frames: Vec<PlannedFrame>,
    pub config: SessionConfig,
    pub world: Option<Arc<World>>,
    pub model: Arc<dyn LoadModel>,
    pub spool: Spool,
    pub pool: Mailbox<PoolMessage>,
    pub workshop: Workshop,
    pub mailbox: Mailbox<SessionMessage>,
    pub cancelled: Arc<AtomicBool>,
}

/// A frame of a generation.
pub(super) struct PlannedFrame {
    /// Its pixels and what is known of them.
    pub job: JobFrame,
    /// The client's name for it.
    pub name: String,
}

/// What comes of a generation.
pub(crate) struct Outcome {
    /// The result, stored.
    pub result: Arc<StoredResult>,
    /// The session's world with what this result added.
    pub world: Arc<World>,
}

/// Why a generation failed.
#[derive(Debug, Error)]
pub(crate) enum GenerationError {
    /// The job did.
    #[error(transparent)]
    Job(#[from] JobError),
    /// There is not enough memory, so nothing was begun.
    #[error("out of memory: {0}")]
    Memory(MemoryAdvice),
    /// No cloud can be made of the prediction.
    #[error("the model's output cannot be used: {0}")]
    Cloud(#[from] CloudError),
    /// The cloud cannot be written.
    #[error(transparent)]
    Glb(#[from] GlbError),
    /// What the model said cannot be stored.
    #[error("the result could not be stored: {0}")]
    Npz(#[from] WriteError),
    /// The disk refuses.
    #[error("the result could not be stored: {0}")]
    Store(#[from] std::io::Error),
    /// Something of ours panicked.
    #[error("internal error: {0}")]
    Internal(String),
}

impl GenerationError {
    /// What it counts as.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Job(JobError::Model(ModelError::OutOfMemory { .. }) | JobError::Memory(_))
            | Self::Memory(_) => ErrorKind::OutOfMemory,
            Self::Job(JobError::Model(_) | JobError::Joined(_)) => ErrorKind::Model,
            Self::Job(JobError::Frame(_)) => ErrorKind::Storage,
            Self::Store(_) | Self::Npz(_) => ErrorKind::of_files(self),
            Self::Job(JobError::WorkerDied(_) | JobError::NoWorker(_)) => ErrorKind::Worker,
            Self::Job(JobError::TimedOut(_)) => ErrorKind::Timeout,
            Self::Job(JobError::QueueFull { .. }) => ErrorKind::Busy,
            Self::Job(JobError::ShuttingDown) => ErrorKind::Refused,
            Self::Cloud(_) => ErrorKind::Cloud,
            Self::Glb(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<WorkFailed> for GenerationError {
    fn from(failed: WorkFailed) -> Self {
        Self::Internal(failed.to_string())
    }
}

/// Shares of the whole generation at which its parts begin. The model's parts are weighted as the
/// embedded model spends its time; what matters to a client is that they rise.
pub(super) mod share {
    pub const ENCODE: f32 = 0.05;
    pub const RELATE: f32 = 0.15;
    pub const DENSE: f32 = 0.40;
    pub const FUSE: f32 = 0.80;
    pub const EXPORT: f32 = 0.90;
    pub const FINALIZE: f32 = 0.97;
}

/// Runs a generation.
pub(super) async fn run(plan: Plan) -> Result<Outcome, GenerationError> {
    let total = plan.frames.len();
    plan.progress(
        Stage::LoadingModel,
        0.0,
        "Waiting for a worker with the model".to_owned(),
    );
    let size = common_frame_size(&plan.frames)?;
    let (prediction, job) = predict(&plan, size).await?;
    plan.progress(
        Stage::Exporting,
        share::EXPORT,
        format!("Making the point cloud of {total} frames"),
    );
    let workshop = plan.workshop.clone();
    workshop
        .run(move || plan.export(size, &prediction, job))
        .await?
}

/// The size that all frames are cropped to.
fn common_frame_size(frames: &[PlannedFrame]) -> Result<FrameSize, GenerationError> {
    common_size(frames.iter().map(|frame| frame.job.pixels.size))
        .ok_or_else(|| GenerationError::Internal("a generation without frames".to_owned()))
}

/// Has a worker predict depth and cameras.
async fn predict(
    plan: &Plan,
    size: FrameSize,
) -> Result<(Box<Prediction>, JobTimings), GenerationError> {
    let (mailbox, number) = (plan.mailbox.clone(), plan.number);
    let work = Work::Reconstruct {
        frames: plan.frames.iter().map(|frame| frame.job.clone()).collect(),
        size,
        on_progress: Arc::new(move |progress| {
            // Gone: the job is cancelled already.
            let progress = describe(progress);
            let _ = mailbox.cast(SessionMessage::Progress { number, progress });
        }),
    };
    let (reply, result) = oneshot::channel();
    let job = Job::new(plan.session, work, plan.cancelled.clone(), reply);
    let lost = || JobError::WorkerDied("the pool of workers is gone".to_owned());
    plan.pool
        .cast(PoolMessage::Submit(job))
        .map_err(|_| lost())?;
    let output = match result.await.map_err(|_| lost())? {
        Err(JobError::Memory(shortage)) => {
            return Err(GenerationError::Memory(MemoryAdvice {
                shortage,
                process_res: plan.config.process_res,
                patch_size: plan.model.metadata().patch_size,
            }));
        }
        other => other?,
    };
    match output {
        JobOutput::Prediction {
            prediction,
            timings,
        } => Ok((prediction, timings)),
        JobOutput::Encoded => Err(GenerationError::Internal(
            "a reconstruction was answered like an encoding".to_owned(),
        )),
    }
}

/// What a client sees of a job's progress.
fn describe(progress: JobProgress) -> Progress {
    let part = |from: f32, to: f32, done: usize, total: usize| {
        from + (to - from) * done as f32 / total.max(1) as f32
    };
    let (stage, fraction, message) = match progress {
        JobProgress::Started => (
            Stage::LoadingModel,
            share::ENCODE,
            "Model is loaded".to_owned(),
        ),
        JobProgress::Encoded { done, total } => (
            Stage::Inference,
            part(share::ENCODE, share::RELATE, done, total),
            format!("Encoded frame {done}/{total}"),
        ),
        JobProgress::Model(Step::Relating) => (
            Stage::Inference,
            share::RELATE,
            "Finding the cameras".to_owned(),
        ),
        JobProgress::Model(Step::Dense { done, total }) => (
            Stage::Inference,
            part(share::DENSE, share::FUSE, done, total),
            format!("Processing frame {}/{total}", (done + 1).min(total)),
        ),
        JobProgress::Model(Step::Fused { done, total }) => (
            Stage::Inference,
            part(share::FUSE, share::EXPORT, done, total),
            format!("Checking frame {}/{total}", (done + 1).min(total)),
        ),
    };
    Progress {
        stage,
        fraction,
        message,
    }
}

impl Plan {
    pub(super) fn progress(&self, stage: Stage, fraction: f32, message: String) {
        // Gone: then nobody looks.
        let _ = self.mailbox.cast(SessionMessage::Progress {
            number: self.number,
            progress: Progress {
                stage,
                fraction,
                message,
            },
        });
    }
}
