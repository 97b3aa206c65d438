//! What a worker's thread does for a batch of jobs.

mod adjustment;
mod encoding;
mod extension;
mod watch;

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;
use pointstream_reconstruction::geometry::{FrameSize, Region};
use pointstream_reconstruction::map::PlaceVector;
use pointstream_reconstruction::model::{
    CameraHint, CameraPriors, Features, KnownCamera, Model, ModelError, StopFlag, Workload,
};
use pointstream_reconstruction::prediction::Prediction;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::watch::Watch;
use super::device_memory::Promise;
use super::turn::TurnClock;
use super::{DeviceMemory, EncodedFrames};
use crate::blobs::{BlobKey, BlobName, Blobs, remove_in_background};
use crate::error_kind::ErrorKind;
use crate::frames::{read_frame, read_hidden};
use crate::jobs::{
    JobDone, JobEvent, JobFailure, JobFrame, JobKind, JobProgress, JobReporter, JobSpec, JobTimings,
};

/// What all tasks of a thread share.
pub(crate) struct TaskContext {
    pub blobs: Arc<dyn Blobs>,
    pub encoded: Arc<EncodedFrames>,
    pub memory: Arc<DeviceMemory>,
    /// Set when the worker has ended: its jobs belong to another worker now.
    pub abandoned: CancellationToken,
}

/// Jobs for a worker's thread: one, or several that only encode frames of the same size.
pub(crate) struct Task {
    jobs: Vec<TaskJob>,
    /// For a single job, which may take long in one call of the model.
    watch: Option<Watch>,
}

/// A job for a worker's thread.
pub(crate) struct TaskJob {
    pub spec: Arc<JobSpec>,
    pub reporter: JobReporter,
    pub turn: TurnClock,
    /// How long it waited for the worker, in seconds.
    pub queued: f64,
}

/// The outcome of each job of a task, in the order of the jobs.
pub(crate) type JobOutcomes = Vec<Result<JobDone, JobFailure>>;

/// The outcomes of a task. Results that the pool does not take are removed: nobody knows of them.
pub(crate) struct Finished {
    outcomes: JobOutcomes,
    /// Why the model may be broken, if so.
    needs_restart: Option<String>,
    blobs: Arc<dyn Blobs>,
}

impl Finished {
    /// Outcomes of a worker whose model is not broken.
    pub fn new(outcomes: JobOutcomes, blobs: Arc<dyn Blobs>) -> Self {
        Self {
            outcomes,
            needs_restart: None,
            blobs,
        }
    }

    /// Why the worker must be restarted, if so.
    pub fn needs_restart(&self) -> Option<&str> {
        self.needs_restart.as_deref()
    }

    /// The outcomes, in the order of the jobs.
    pub fn take_outcomes(mut self) -> JobOutcomes {
        std::mem::take(&mut self.outcomes)
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        let results = self.outcomes.iter().flatten();
        let keys: Vec<_> = results.filter_map(|done| done.result).collect();
        remove_in_background(&self.blobs, keys);
    }
}

/// Why a job ends early, inside the thread.
enum Stopped {
    Failed(JobFailure),
    Model(ModelError),
}

impl From<JobFailure> for Stopped {
    fn from(failure: JobFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ModelError> for Stopped {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl Task {
    /// `abandoned` is cancelled when the worker ends. Needs the runtime.
    pub fn new(jobs: Vec<TaskJob>, abandoned: &CancellationToken) -> Self {
        let watch = match jobs.as_slice() {
            [job] => Some(Watch::start(
                job.reporter.cancelled().clone(),
                abandoned.clone(),
                job.turn.over().clone(),
            )),
            _ => None,
        };
        Self { jobs, watch }
    }

    /// Does the jobs. Blocks for as long as it takes.
    pub fn run(&self, model: &mut dyn Model, context: &TaskContext) -> Finished {
        let mut needs_restart = None;
        let never = StopFlag::default();
        let stop = self.watch.as_ref().map_or(&never, Watch::stop);
        if let Err(error) = model.watch(stop) {
            let failure = Stopped::from(error).into_failure(&mut needs_restart);
            return Finished {
                outcomes: self.jobs.iter().map(|_| Err(failure.clone())).collect(),
                needs_restart,
                blobs: context.blobs.clone(),
            };
        }
        let model: &dyn Model = model;
        let outcomes = match self.jobs.as_slice() {
            [job] if job.spec.kind == JobKind::Reconstruct => {
                let outcome = job.reconstruct(model, context);
                vec![outcome.map_err(|stopped| stopped.into_failure(&mut needs_restart))]
            }
            [job] if job.spec.kind == JobKind::Adjust => {
                let outcome = job.adjust(model, context);
                vec![outcome.map_err(|stopped| stopped.into_failure(&mut needs_restart))]
            }
            jobs => encoding::encode_ahead(model, context, jobs, &mut needs_restart),
        };
        Finished {
            outcomes,
            needs_restart,
            blobs: context.blobs.clone(),
        }
    }
}

impl Stopped {
    /// Notes whether the model may be broken.
    fn into_failure(self, needs_restart: &mut Option<String>) -> JobFailure {
        match self {
            Self::Failed(failure) => failure,
            Self::Model(error) => {
                let broken = matches!(
                    error,
                    ModelError::Call { .. }
                        | ModelError::Output { .. }
                        | ModelError::OutOfMemory { .. }
                );
                if broken {
                    needs_restart.get_or_insert_with(|| error.to_string());
                }
                JobFailure::from(&error)
            }
        }
    }
}

impl TaskJob {
    /// Fails if the job was cancelled or makes way for others, or if another worker has taken it over.
    fn check(&self, context: &TaskContext) -> Result<(), JobFailure> {
        let ended = [
            self.reporter.cancelled(),
            &context.abandoned,
            self.turn.over(),
        ];
        if ended.into_iter().any(CancellationToken::is_cancelled) {
            Err(JobFailure::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Keeps an encoded frame for later jobs, unless this job was cancelled: its session may have
    /// ended, and what it left was dropped before this frame came. Sessions cancel their jobs
    /// before they have their frames dropped, so either sees the other.
    fn keep(&self, context: &TaskContext, frame: BlobKey, features: &Arc<Features>) {
        context.encoded.keep(frame, features);
        self.forget_if_cancelled(context);
    }

    /// Like [`keep`](Self::keep) for the model's own maps of a frame.
    fn keep_maps(&self, context: &TaskContext, frame: BlobKey, maps: &Arc<Features>) {
        context.encoded.keep_maps(frame, maps);
        self.forget_if_cancelled(context);
    }

    fn forget_if_cancelled(&self, context: &TaskContext) {
        if self.reporter.is_cancelled() {
            context.encoded.forget_frames_of(&self.spec);
        }
    }

    fn report(&self, context: &TaskContext, event: JobEvent) {
        // An abandoned job may run again on another worker, which reports.
        if self.check(context).is_ok() {
            self.reporter.report(event);
        }
    }

    /// Waits until the job is promised the memory that it needs. Its turn begins then.
    fn promise(
        &self,
        model: &dyn Model,
        context: &TaskContext,
        work: Workload,
    ) -> Result<Promise, JobFailure> {
        let wanted = || self.check(context).is_ok();
        let promise = context.memory.take(model, work, wanted)?;
        self.turn.begin();
        Ok(promise)
    }

    fn reconstruct(&self, model: &dyn Model, context: &TaskContext) -> Result<JobDone, Stopped> {
        self.report(context, JobEvent::Accepted);
        let size = self.spec.size;
        let frames = self.spec.frames.len();
        // Held until the prediction is stored, and what its point cloud needs until that is stored.
        let promise = self.promise(model, context, Workload::Prediction { frames, size })?;
        let mut timings = JobTimings {
            queued: self.queued,
            ..JobTimings::default()
        };
        let features = self.encode(model, context, &mut timings)?;
        let start = Instant::now();
        let rows: Vec<&Features> = features.iter().map(Arc::as_ref).collect();
        let places = places(model, &rows)?;
        let on_step = &mut |step| {
            self.report(context, JobEvent::Progress(JobProgress::Model(step)));
            match self.check(context) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        let mut prediction = if self.extends() {
            self.extend(model, context, &features, on_step)?
        } else {
            let cameras = known_cameras(&self.spec.frames, size);
            let hints = hints(&self.spec.frames, size);
            let priors = CameraPriors {
                known: cameras.as_deref(),
                hints: Some(&hints),
            };
            model.predict(&rows, priors, on_step)?
        };
        timings.model = start.elapsed().as_secs_f64();
        self.hide_pixels(context, &mut prediction)?;
        self.check(context)?;
        let start = Instant::now();
        let result = self.store(context, &prediction)?;
        timings.store = start.elapsed().as_secs_f64();
        drop((prediction, features));
        Ok(JobDone {
            result: Some(result),
            places,
            adjusted: Vec::new(),
            timings,
            held: promise.for_cloud(),
        })
    }

    /// Takes the frames that are encoded already, and encodes the others.
    fn encode(
        &self,
        model: &dyn Model,
        context: &TaskContext,
        timings: &mut JobTimings,
    ) -> Result<Vec<Arc<Features>>, Stopped> {
        let (frames, size) = (&self.spec.frames, self.spec.size);
        let total = frames.len();
        let mut features: Vec<_> = frames
            .iter()
            .map(|frame| context.encoded.get(&frame.blob, size))
            .collect();
        let missing: Vec<usize> = (0..total)
            .filter(|&index| features[index].is_none())
            .collect();
        let mut done = total - missing.len();
        let report = |done| {
            let progress = JobProgress::Encoded { done, total };
            self.report(context, JobEvent::Progress(progress));
        };
        report(done);
        for part in missing.chunks(model.frames_per_call(size)) {
            self.check(context)?;
            let start = Instant::now();
            let images = part
                .iter()
                .map(|&index| read(context.blobs.as_ref(), &frames[index], size))
                .collect::<Result<Vec<_>, _>>()?;
            timings.frames += start.elapsed().as_secs_f64();
            let start = Instant::now();
            let encoded = model.encode(&images)?;
            timings.encode += start.elapsed().as_secs_f64();
            for (&index, encoded) in part.iter().zip(encoded) {
                let encoded = Arc::new(encoded);
                self.keep(context, frames[index].blob, &encoded);
                features[index] = Some(encoded);
            }
            done += part.len();
            report(done);
        }
        Ok(features.into_iter().flatten().collect())
    }

    /// Whatever the model says: hidden pixels are never points.
    fn hide_pixels(
        &self,
        context: &TaskContext,
        prediction: &mut Prediction,
    ) -> Result<(), JobFailure> {
        let extends = self.extends();
        // Those that are not placed, if some are.
        let predicted = self.spec.frames.iter();
        let predicted = predicted.filter(|frame| !extends || frame.placed.is_none());
        for (index, frame) in predicted.enumerate() {
            let hidden = read_hidden(context.blobs.as_ref(), frame, self.spec.size);
            let hidden = hidden.map_err(|error| JobFailure::Frame(error.to_string()))?;
            if let Some(hidden) = hidden {
                prediction.hide(index, &hidden);
            }
        }
        Ok(())
    }

    /// Writes the prediction as a blob. Each attempt has a key of its own: an abandoned attempt may
    /// still be writing.
    fn store(&self, context: &TaskContext, prediction: &Prediction) -> Result<BlobKey, JobFailure> {
        let key = BlobKey {
            session: self.spec.session,
            name: BlobName::Prediction(Uuid::new_v4()),
        };
        let failed = |error: &(dyn Error + 'static)| JobFailure::Store {
            message: error.to_string(),
            disk_full: ErrorKind::of_files(error) == ErrorKind::DiskFull,
        };
        let draft = context.blobs.draft(&key).map_err(|error| failed(&error))?;
        prediction
            .save_safetensors(draft.path())
            .map_err(|error| failed(&error))?;
        context.blobs.put(draft).map_err(|error| failed(&error))?;
        self.check(context)
            .inspect_err(|_| context.blobs.remove_or_warn(&key))?;
        Ok(key)
    }
}

/// The model's vector of each frame.
fn places(
    model: &dyn Model,
    features: &[&Features],
) -> Result<Vec<Option<PlaceVector>>, ModelError> {
    if !model.metadata().describe {
        return Ok(vec![None; features.len()]);
    }
    let vectors = model.describe(features)?;
    Ok(vectors
        .iter()
        .map(|vector| PlaceVector::new(vector))
        .collect())
}

fn read(blobs: &dyn Blobs, frame: &JobFrame, size: FrameSize) -> Result<RgbImage, JobFailure> {
    read_frame(blobs, frame, size).map_err(|error| JobFailure::Frame(error.to_string()))
}

/// The cameras of all frames at the size that they are cropped to, if all are known.
fn known_cameras(frames: &[JobFrame], size: FrameSize) -> Option<Vec<KnownCamera>> {
    frames
        .iter()
        .map(|frame| {
            let region = Region::of_center_crop(frame.size, size);
            Some(frame.camera?.of_region(frame.size, region, size))
        })
        .collect()
}

/// The hints of all frames at the size that they are cropped to.
fn hints(frames: &[JobFrame], size: FrameSize) -> Vec<CameraHint> {
    frames
        .iter()
        .map(|frame| {
            let region = Region::of_center_crop(frame.size, size);
            frame.hint.of_region(frame.size, region, size)
        })
        .collect()
}
