//! One generation: from stored frames to a result on disk.

use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use image::RgbImage;
use pointstream_reconstruction::cloud::{
    Alignment, CloudError, Region, Scene, SceneFrame, WorldFrame, build_scene, rows,
};
use pointstream_reconstruction::export::glb::{GlbError, write_glb};
use pointstream_reconstruction::export::npz::NpzWriter;
use pointstream_reconstruction::export::{Cameras, ExportError, ResultFormat};
use pointstream_reconstruction::image::common_size;
use pointstream_reconstruction::model::{FrameSize, LoadModel, ModelError, Step};
use pointstream_reconstruction::prediction::Prediction;
use thiserror::Error;
use tokio::sync::oneshot;

use super::SessionMessage;
use super::memory_advice::MemoryAdvice;
use super::result::StoredResult;
use crate::config::SessionConfig;
use crate::event::{Answer, AnswerKind, Progress, ResultMetadata, SessionId, Stage, Timings};
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
    pub world: Option<Arc<WorldFrame>>,
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
    pub world: Arc<WorldFrame>,
}

/// Why a generation failed.
#[derive(Debug, Error)]
pub(crate) enum GenerationError {
    /// The job did.
    #[error(transparent)]
    Job(#[from] JobError),
    /// There is not enough memory, so nothing was begun.
    #[error("{0}")]
    Memory(MemoryAdvice),
    /// No cloud can be made of the prediction.
    #[error("the model's output cannot be used: {0}")]
    Cloud(#[from] CloudError),
    /// The cloud cannot be written.
    #[error(transparent)]
    Glb(#[from] GlbError),
    /// What the model said cannot be stored.
    #[error("the result could not be stored: {0}")]
    Npz(#[from] ExportError),
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
            Self::Job(JobError::Frame(_)) | Self::Store(_) | Self::Npz(_) => ErrorKind::Storage,
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
mod share {
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
    common_size(frames.iter().map(|frame| dimensions(frame.job.pixels.size)))
        .map(|(width, height)| FrameSize { width, height })
        .ok_or_else(|| GenerationError::Internal("a generation without frames".to_owned()))
}

/// Has a worker predict depth and cameras.
async fn predict(
    plan: &Plan,
    size: FrameSize,
) -> Result<(Box<Prediction>, JobTimings), GenerationError> {
    let mailbox = plan.mailbox.clone();
    let work = Work::Reconstruct {
        frames: plan.frames.iter().map(|frame| frame.job.clone()).collect(),
        size,
        on_progress: Arc::new(move |progress| {
            // Gone: the job is cancelled already.
            let _ = mailbox.cast(SessionMessage::Progress(describe(progress)));
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
    fn progress(&self, stage: Stage, fraction: f32, message: String) {
        // Gone: then nobody looks.
        let _ = self.mailbox.cast(SessionMessage::Progress(Progress {
            stage,
            fraction,
            message,
        }));
    }

    /// Makes the point cloud, writes it and stores it, all or nothing. Blocks.
    fn export(
        self,
        size: FrameSize,
        prediction: &Prediction,
        job: JobTimings,
    ) -> Result<Outcome, GenerationError> {
        let (spool, number) = (self.spool.clone(), self.number);
        self.store(size, prediction, job).inspect_err(|_| {
            for format in StoredResult::FORMATS {
                spool.remove_result(number, format);
            }
        })
    }

    fn store(
        self,
        size: FrameSize,
        prediction: &Prediction,
        job: JobTimings,
    ) -> Result<Outcome, GenerationError> {
        let start = Instant::now();
        let images = self
            .frames
            .iter()
            .map(|frame| frame.job.pixels.read(size))
            .collect::<Result<Vec<_>, _>>()?;
        let mut timings = Timings {
            queued: job.queued,
            encode: job.encode,
            model: job.model,
            frames: job.frames + start.elapsed().as_secs_f64(),
            ..Timings::default()
        };
        let file = self.spool.create_result(self.number, ResultFormat::Npz)?;
        // Depth and confidence go to the disk while the cloud is made of them.
        let (made, stored) = std::thread::scope(|scope| {
            let storing = scope.spawn(|| NpzWriter::begin(prediction, BufWriter::new(file)));
            let made = self.glb(size, prediction, &images, &mut timings);
            let start = Instant::now();
            let stored = storing.join();
            timings.store = start.elapsed().as_secs_f64();
            (made, stored)
        });
        let (scene, world, glb) = made?;
        let npz =
            stored.map_err(|_| GenerationError::Internal("storing panicked".to_owned()))??;
        drop(images);
        self.progress(
            Stage::Finalizing,
            share::FINALIZE,
            format!("Storing {} points", scene.points.len()),
        );
        let start = Instant::now();
        npz.finish(&scene)?.flush()?;
        let glb = self.store_glb(&glb)?;
        timings.store += start.elapsed().as_secs_f64();
        timings.total = self.asked.elapsed().as_secs_f64();
        self.progress(Stage::Finalizing, 1.0, "Done".to_owned());
        let metadata = self.metadata(&scene, prediction, glb.len(), timings);
        let answer = Answer {
            number: self.number,
            kind: self.kind,
            // Never more than `max_images`, which is a u32.
            image_count: u32::try_from(self.frames.len()).unwrap_or(u32::MAX),
            glb,
            metadata: Arc::new(metadata),
        };
        let frames = self.frames.into_iter().map(|frame| frame.job.pixels);
        let cameras = Cameras::of(&scene);
        let result = StoredResult::new(answer, self.spool, cameras, frames.collect(), size)?;
        Ok(Outcome {
            result: Arc::new(result),
            world: Arc::new(world),
        })
    }

    fn glb(
        &self,
        size: FrameSize,
        prediction: &Prediction,
        images: &[RgbImage],
        timings: &mut Timings,
    ) -> Result<(Scene, WorldFrame, Vec<u8>), GenerationError> {
        let start = Instant::now();
        let (scene, world) = self.scene(size, prediction, images)?;
        timings.cloud = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let glb = write_glb(&scene, self.config.points.glb_compression)?;
        timings.glb = start.elapsed().as_secs_f64();
        Ok((scene, world, glb))
    }

    fn store_glb(&self, glb: &[u8]) -> std::io::Result<Bytes> {
        let mut file = self.spool.create_result(self.number, ResultFormat::Glb)?;
        file.write_all(glb)?;
        self.spool.view_result(self.number, ResultFormat::Glb)
    }

    fn scene(
        &self,
        size: FrameSize,
        prediction: &Prediction,
        images: &[RgbImage],
    ) -> Result<(Scene, WorldFrame), CloudError> {
        let frames: Vec<_> = self
            .frames
            .iter()
            .zip(images)
            .map(|(frame, image)| SceneFrame {
                id: frame.job.pixels.number,
                name: &frame.name,
                image,
                region: Region::of_center_crop(dimensions(frame.job.pixels.size), dimensions(size)),
            })
            .collect();
        let options = self.config.cloud_options();
        build_scene(prediction, &frames, self.world.as_deref(), &options)
    }

    fn metadata(
        &self,
        scene: &Scene,
        prediction: &Prediction,
        glb_size_bytes: usize,
        timings: Timings,
    ) -> ResultMetadata {
        let cameras = &prediction.cameras;
        let model = self.model.metadata();
        ResultMetadata {
            num_frames: cameras.len(),
            session_id: self.session,
            glb_size_bytes,
            intrinsics: cameras
                .iter()
                .map(|camera| rows(&camera.intrinsics))
                .collect(),
            extrinsics: cameras
                .iter()
                .map(|camera| rows(&camera.extrinsics))
                .collect(),
            world_to_glb: rows(&scene.world_to_glb.to_homogeneous()),
            processed_size: [prediction.width, prediction.height],
            frames: self.frames.iter().map(|frame| frame.name.clone()).collect(),
            unregistered_frames: self
                .frames
                .iter()
                .zip(cameras)
                .filter(|(_, camera)| !camera.registered)
                .map(|(frame, _)| frame.name.clone())
                .collect(),
            num_points: scene.points.len(),
            confidence_threshold: scene.confidence_threshold,
            aligned: !matches!(scene.alignment, Alignment::Unaligned { .. }),
            alignment: scene.alignment.clone(),
            known_cameras: model.poses
                && self.frames.iter().all(|frame| frame.job.camera.is_some()),
            scale: model.scale,
            model: format!("{} {}", model.name, model.version),
            options: self.config.points,
            timings,
        }
    }
}

fn dimensions(size: FrameSize) -> (u32, u32) {
    (size.width, size.height)
}
