//! What one adjustment of the map works on, and what its job finds.

use std::sync::Arc;

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::map::{Corrections, DepthFit, FrameCorrection, LocalCoordinates};
use pointstream_reconstruction::prediction::Links;

use super::context::Context;
use super::generation_error::GenerationError;
use super::joined_window::StoredDepth;
use super::ledger::{Ledger, StoredMap};
use crate::blobs::BlobName;
use crate::ids::JobId;
use crate::jobs::{
    JobEvent, JobFailure, JobFrame, JobHandle, JobKind, JobPriority, JobSpec, LinkedRun,
};

/// What an adjustment works on.
pub(super) struct Adjustment {
    context: Context,
    /// Numbers of the frames, in the order of the job.
    numbers: Vec<u64>,
    frames: Vec<JobFrame>,
    runs: Vec<LinkedRun>,
    map: Arc<StoredMap>,
    size: FrameSize,
    local: LocalCoordinates,
}

impl Adjustment {
    /// `None` if the map has nothing to adjust.
    pub fn new(context: &Context, ledger: &Ledger, stored: &Arc<StoredMap>) -> Option<Self> {
        let (first, _) = stored.map.placed().next()?;
        let unit = stored.map.model_unit(stored.map.drawn_piece());
        let local = LocalCoordinates::of(&stored.map.camera(first)?, unit)?;
        let images = ledger.images();
        let placed = stored.map.placed().filter_map(|(number, _)| {
            let index = images.binary_search_by_key(&number, |image| image.number);
            let frame = JobFrame {
                placed: Some(local.to_local(&stored.map.camera(number)?)),
                ..context.job_frame(images.get(index.ok()?)?)
            };
            Some((number, frame))
        });
        let (numbers, frames): (Vec<u64>, Vec<JobFrame>) = placed.unzip();
        let runs = stored.files.iter().zip(&stored.runs);
        let runs = runs.map(|(file, run)| LinkedRun {
            prediction: context.key(BlobName::Prediction(*file)),
            frames: run
                .iter()
                .map(|number| numbers.binary_search(number).ok())
                .collect(),
        });
        Some(Self {
            runs: runs.collect(),
            context: context.clone(),
            numbers,
            frames,
            map: stored.clone(),
            size: stored.map.size(),
            local,
        })
    }

    pub fn spec(&self, priority: JobPriority) -> JobSpec {
        JobSpec {
            id: JobId::new_v4(),
            session: self.context.id,
            creator: self.context.creator.clone(),
            kind: JobKind::Adjust,
            priority,
            frames: self.frames.clone(),
            size: self.size,
            runs: self.runs.clone(),
            divisible: false,
        }
    }

    /// How many frames are adjusted.
    pub fn frames(&self) -> usize {
        self.numbers.len()
    }

    /// Waits for the job and returns what it has found, in the map's coordinates.
    pub async fn corrections(
        self,
        mut job: JobHandle,
        accepted: impl Fn(bool),
    ) -> Result<Corrections, JobFailure> {
        loop {
            match job.next().await {
                Some(JobEvent::Accepted) => accepted(true),
                Some(JobEvent::Waiting) => accepted(false),
                Some(JobEvent::Progress(_)) => {}
                Some(JobEvent::Done(done)) => {
                    let mut corrections = Corrections::default();
                    for (&number, adjusted) in self.numbers.iter().zip(done.adjusted) {
                        let correction = adjusted.and_then(|adjusted| {
                            let camera = self.local.to_map(&adjusted.camera);
                            FrameCorrection::new(&camera, adjusted.depth_factor)
                        });
                        if let Some(correction) = correction {
                            corrections.insert(number, correction);
                        }
                    }
                    return Ok(self.with_depths(corrections).await);
                }
                Some(JobEvent::Failed(failure)) => return Err(failure),
                None => return Err(JobFailure::Cancelled),
            }
        }
    }

    /// The corrections with depths that fit the cameras. If that cannot be found out, they stay.
    async fn with_depths(self, corrections: Corrections) -> Corrections {
        let (context, map) = (self.context, self.map);
        let (computing, owner) = (context.computing.clone(), context.owner());
        let before = corrections.clone();
        let work = move || fit_depths(&context, &map, corrections);
        match computing.run(owner, work).await {
            Ok(Ok(fitting)) => fitting,
            Ok(Err(error)) => {
                tracing::warn!(%error, "depths are not compared with adjusted cameras");
                before
            }
            Err(error) => {
                tracing::warn!(%error, "depths are not compared with adjusted cameras");
                before
            }
        }
    }
}

/// Blocks.
fn fit_depths(
    context: &Context,
    stored: &StoredMap,
    corrections: Corrections,
) -> Result<Corrections, GenerationError> {
    if corrections.is_empty() {
        return Ok(corrections);
    }
    let mut fit = DepthFit::new(&stored.map, &corrections);
    let source = StoredDepth {
        context,
        map: stored,
    };
    for (chunk, (file, run)) in stored.files.iter().zip(&stored.runs).enumerate() {
        let view = context
            .blobs
            .view(&context.key(BlobName::Prediction(*file)));
        let view = view.map_err(GenerationError::ReadPrediction)?;
        if let Some(links) = Links::from_safetensors(&view)? {
            fit.look(chunk, run, &links, &source)?;
        }
    }
    tracing::info!(
        frames = fit.misfits(),
        "depths are fitted to adjusted cameras"
    );
    Ok(fit.corrections(corrections))
}
