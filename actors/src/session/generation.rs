//! One request: from stored frames to a stored point cloud.

use std::sync::Arc;
use std::time::Instant;

use pointstream_reconstruction::cloud::World;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{CommonSize, ImageStatistics};
use pointstream_reconstruction::map::Map;
use pointstream_reconstruction::model::Scale;

use super::context::Context;
use super::generation_error::GenerationError;
use super::ledger::{Image, Ledger, StoredMap};
use super::memory_advice::MemoryAdvice;
use super::message::SessionMessage;
use super::progress;
use super::requests::{Request, RequestKind};
use super::stored_result::Generated;
use crate::answer::AnswerKind;
use crate::ids::JobId;
use crate::jobs::{
    JobDone, JobEvent, JobFailure, JobFrame, JobHandle, JobKind, JobPriority, JobSpec,
};
use crate::session_config::SessionConfig;
use crate::session_event::Progress;

/// The inputs of a request.
pub(super) struct Generation {
    pub context: Context,
    pub config: SessionConfig,
    pub kind: AnswerKind,
    /// Whether it is the final result.
    pub finalizes: bool,
    /// Number of the request; names the blobs of its result.
    pub number: u64,
    pub asked: Instant,
    /// All images that it covers.
    pub images: Vec<GenerationImage>,
    /// The images that the model gets, in their order; at least one.
    pub frames: Vec<GenerationFrame>,
    /// The size that all frames are cropped to.
    pub size: FrameSize,
    /// How many records had changed the map when the request began.
    pub as_of: u64,
    /// The session's coordinates, if it has a result.
    pub world: Option<Arc<World>>,
    /// How much the units of length of the map's windows differ, if they are metres.
    pub scale_spread: Option<f64>,
}

/// An image that a request covers.
pub(super) struct GenerationImage {
    pub name: Arc<str>,
    pub statistics: ImageStatistics,
    /// Index of its frame; `None` if it is set aside because of its shape.
    pub frame: Option<usize>,
}

/// A frame of a request.
pub(super) struct GenerationFrame {
    /// Number of the image within the session.
    pub number: u64,
    pub name: Arc<str>,
    pub job: JobFrame,
}

impl Generation {
    /// A request for the images that it covers, or none if there are none.
    pub fn new(context: &Context, ledger: &Ledger, request: &Request, number: u64) -> Option<Self> {
        let covered = covered(ledger, request);
        let sizes: Vec<FrameSize> = covered.iter().map(|image| image.size).collect();
        let CommonSize { size, fits } = CommonSize::choose(&sizes)?;
        Some(Self::of(
            context, ledger, request, number, covered, size, &fits,
        ))
    }

    /// A request that the map answers: it has all images that the request covers, but for those of
    /// too odd a shape.
    pub fn of_map(
        context: &Context,
        ledger: &Ledger,
        map: &Map,
        request: &Request,
        number: u64,
    ) -> Self {
        let covered = covered(ledger, request);
        let fits: Vec<bool> = covered
            .iter()
            .map(|image| map.contains(image.number))
            .collect();
        let of_map = Self::of(context, ledger, request, number, covered, map.size(), &fits);
        let is_metric = context.settings.pool.model.metadata().scale == Scale::Metric;
        Self {
            scale_spread: map.scale_spread().filter(|_| is_metric),
            ..of_map
        }
    }

    fn of(
        context: &Context,
        ledger: &Ledger,
        request: &Request,
        number: u64,
        covered: Vec<&Image>,
        size: FrameSize,
        fits: &[bool],
    ) -> Self {
        let (mut images, mut frames) = (Vec::new(), Vec::new());
        for (image, &fits) in covered.into_iter().zip(fits) {
            images.push(GenerationImage {
                name: image.name.clone(),
                statistics: image.statistics,
                frame: fits.then_some(frames.len()),
            });
            if fits {
                frames.push(GenerationFrame {
                    number: image.number,
                    name: image.name.clone(),
                    job: context.job_frame(image),
                });
            }
        }
        Self {
            context: context.clone(),
            config: ledger.config().clone(),
            kind: request.kind.answer(),
            finalizes: request.kind == RequestKind::Finalize,
            number,
            asked: request.asked,
            images,
            frames,
            size,
            as_of: ledger.map_changes(),
            world: ledger.world().cloned(),
            scale_spread: None,
        }
    }

    /// Submits the job of the model. `divisible` says whether the map can answer the request, too.
    pub fn submit(&self, divisible: bool) -> JobHandle {
        self.context.dispatcher.submit(JobSpec {
            id: JobId::new_v4(),
            session: self.context.id,
            creator: self.context.creator.clone(),
            kind: JobKind::Reconstruct,
            priority: JobPriority::Requested,
            frames: self.frames.iter().map(|frame| frame.job.clone()).collect(),
            size: self.size,
            runs: Vec::new(),
            divisible,
        })
    }

    /// Waits for the job and makes a point cloud of its prediction, in the memory that the job was promised for it.
    pub async fn run(self, job: JobHandle) -> Result<Generated, GenerationError> {
        self.report(progress::waiting());
        let done = self.predict(job).await?;
        self.report(progress::exporting(self.frames.len()));
        let (computing, owner) = (self.context.computing.clone(), self.context.owner());
        computing
            .run(owner, move || self.make_point_cloud(&done))
            .await?
    }

    /// Makes a point cloud of the map.
    pub async fn run_on_map(self, map: Arc<StoredMap>) -> Result<Generated, GenerationError> {
        self.report(progress::exporting(self.frames.len()));
        let contradicted = match self.finalizes {
            true => self.contradicted(&map).await?,
            false => None,
        };
        let (computing, owner) = (self.context.computing.clone(), self.context.owner());
        let held = self.context.dispatcher.hold(self.most_points(&map.map));
        let held = held.await?;
        computing
            .run(owner, move || {
                let made = self.make_point_cloud_of_map(map, contradicted);
                drop(held);
                made
            })
            .await?
    }

    /// No more points are in the cloud of the map.
    fn most_points(&self, map: &Map) -> usize {
        let drawn = map.drawn_chunks().map(|(_, chunk)| chunk.points);
        drawn
            .sum::<usize>()
            .min(self.config.cloud_options().num_max_points)
    }

    /// Follows the job to its end and passes its progress on.
    async fn predict(&self, job: JobHandle) -> Result<JobDone, GenerationError> {
        follow(job, &self.context, &self.config, |progress| {
            self.report(progress);
        })
        .await
    }

    pub(super) fn report(&self, progress: Progress) {
        self.context.mailbox.notify(SessionMessage::Progress {
            number: self.number,
            progress,
        });
    }
}

/// The images that a request covers.
fn covered<'a>(ledger: &'a Ledger, request: &Request) -> Vec<&'a Image> {
    let images = ledger.images().iter();
    images
        .filter(|image| image.number < request.before)
        .collect()
}

/// Follows a job to its end and passes its progress on.
pub(super) async fn follow(
    mut job: JobHandle,
    context: &Context,
    config: &SessionConfig,
    report: impl Fn(Progress),
) -> Result<JobDone, GenerationError> {
    loop {
        match job.next().await {
            Some(JobEvent::Accepted) => report(progress::accepted()),
            Some(JobEvent::Waiting) => report(progress::waiting()),
            Some(JobEvent::Progress(step)) => report(progress::of_job(step)),
            Some(JobEvent::Done(done)) => return Ok(done),
            Some(JobEvent::Failed(JobFailure::Shortage(shortage))) => {
                return Err(GenerationError::Memory(MemoryAdvice {
                    shortage,
                    process_res: config.process_res,
                    patch_size: context.settings.pool.model.metadata().patch_size,
                }));
            }
            Some(JobEvent::Failed(failure)) => return Err(GenerationError::Job(failure)),
            None => return Err(GenerationError::Job(JobFailure::Cancelled)),
        }
    }
}
