//! What a worker's thread does for a job.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pointstream_reconstruction::geometry::{FrameSize, Region};
use pointstream_reconstruction::model::{Features, KnownCamera, Model, ModelError};

use super::job::{JobError, JobFrame, JobOutput, JobProgress, JobTimings, Work};

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
            Work::Encode(frames) => {
                let Some(size) = frames.first().map(|frame| frame.pixels.size) else {
                    return Ok(JobOutput::Encoded);
                };
                for part in frames.chunks(model.frames_per_call(size)) {
                    if self.stop.check().is_break() {
                        return Err(ModelError::Cancelled.into());
                    }
                    encode(model, &part.iter().collect::<Vec<_>>(), size)?;
                }
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
        // Nobody wants to hear of work that was given up.
        let report = |progress| {
            if self.stop.check().is_continue() {
                on_progress(progress);
            }
        };
        let mut timings = JobTimings {
            queued: self.queued,
            ..JobTimings::default()
        };
        let total = frames.len();
        model.check_memory(total, size).map_err(JobError::Memory)?;
        let mut features: Vec<_> = frames
            .iter()
            .map(|frame| frame.features.get(size))
            .collect();
        let missing: Vec<usize> = (0..total)
            .filter(|&index| features[index].is_none())
            .collect();
        let mut done = total - missing.len();
        report(JobProgress::Encoded { done, total });
        for part in missing.chunks(model.frames_per_call(size)) {
            if self.stop.check().is_break() {
                return Err(ModelError::Cancelled.into());
            }
            let part_frames: Vec<_> = part.iter().map(|&index| &frames[index]).collect();
            let encoded = encode(model, &part_frames, size)?;
            timings.frames += encoded.read_seconds;
            timings.encode += encoded.encode_seconds;
            for (&index, encoded) in part.iter().zip(encoded.features) {
                features[index] = Some(encoded);
            }
            done += part.len();
            report(JobProgress::Encoded { done, total });
        }
        let start = Instant::now();
        let rows: Vec<&Features> = features.iter().flatten().map(Arc::as_ref).collect();
        let cameras = known_cameras(frames, size);
        let prediction = model.predict(&rows, cameras.as_deref(), &mut |step| {
            report(JobProgress::Model(step));
            self.stop.check()
        })?;
        timings.model = start.elapsed().as_secs_f64();
        Ok(JobOutput::Prediction {
            prediction: Box::new(prediction),
            timings,
        })
    }
}

/// The cameras of all frames at the size that they are cut to, if all are known.
fn known_cameras(frames: &[JobFrame], size: FrameSize) -> Option<Vec<KnownCamera>> {
    frames
        .iter()
        .map(|frame| {
            let whole = frame.pixels.size;
            let region = Region::of_center_crop(whole, size);
            Some(frame.camera?.of_region(whole, region, size))
        })
        .collect()
}

/// Encoded frames, and where the time went.
struct Encoded {
    features: Vec<Arc<Features>>,
    read_seconds: f64,
    encode_seconds: f64,
}

/// Reads frames, encodes them in one call, and keeps what comes of it for later jobs.
fn encode(model: &dyn Model, frames: &[&JobFrame], size: FrameSize) -> Result<Encoded, JobError> {
    let start = Instant::now();
    let images = frames
        .iter()
        .map(|frame| frame.pixels.read(size))
        .collect::<Result<Vec<_>, _>>()?;
    let read_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let features: Vec<_> = model.encode(&images)?.into_iter().map(Arc::new).collect();
    let encode_seconds = start.elapsed().as_secs_f64();
    for (frame, features) in frames.iter().zip(&features) {
        frame.features.keep(features.clone());
    }
    Ok(Encoded {
        features,
        read_seconds,
        encode_seconds,
    })
}
