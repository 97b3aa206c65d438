//! Adjusting the cameras of placed frames together.

use std::collections::HashSet;
use std::time::Instant;

use pointstream_reconstruction::model::{
    Adjustment, AdjustmentFrame, LinksOfRuns, Model, Workload,
};
use pointstream_reconstruction::prediction::Links;

use super::{Stopped, TaskContext, TaskJob, hints};
use crate::jobs::{JobDone, JobEvent, JobFailure, JobTimings, LinkedRun};

impl TaskJob {
    /// Adjusts the frames of the job by what the stored predictions of the runs say about them. The
    /// frames themselves are not read.
    pub(super) fn adjust(
        &self,
        model: &dyn Model,
        context: &TaskContext,
    ) -> Result<JobDone, Stopped> {
        self.report(context, JobEvent::Accepted);
        let start = Instant::now();
        let mut links = LinksOfRuns::default();
        for run in &self.spec.runs {
            self.check(context)?;
            if let Some(found) = read_links(context, run)? {
                links.add(&found, &run.frames);
            }
        }
        let frames = self.spec.frames.as_slice();
        let read = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let known: Option<Vec<AdjustmentFrame<'_>>> = frames
            .iter()
            .zip(hints(frames, self.spec.size))
            .map(|(frame, hint)| {
                let camera = frame.placed.as_ref()?;
                Some(AdjustmentFrame { camera, hint })
            })
            .collect();
        let Some(known) = known else {
            let message = "a frame that is to be adjusted has no camera".to_owned();
            return Err(JobFailure::Frame(message).into());
        };
        let work = Workload::Adjustment {
            frames: frames.len(),
            links: links.links().len(),
            lenses: lenses(&known),
            shared: links.shared(),
        };
        let _promise = self.promise(model, context, work)?;
        let adjusted = model.adjust(&Adjustment {
            size: self.spec.size,
            frames: &known,
            links: links.links(),
        })?;
        self.check(context)?;
        Ok(JobDone {
            adjusted,
            timings: JobTimings {
                queued: self.queued,
                frames: read,
                model: start.elapsed().as_secs_f64(),
                ..JobTimings::default()
            },
            ..self.done_encoding()
        })
    }
}

/// How many different lenses frames have, by what is known about them.
fn lenses(frames: &[AdjustmentFrame<'_>]) -> usize {
    let lens = |frame: &AdjustmentFrame<'_>| {
        let camera = frame.camera;
        let focal = camera.intrinsics[(0, 0)].to_bits();
        (frame.hint.group, focal, camera.distortion.k1.to_bits())
    };
    frames.iter().map(lens).collect::<HashSet<_>>().len()
}

fn read_links(context: &TaskContext, run: &LinkedRun) -> Result<Option<Links>, JobFailure> {
    let view = context.blobs.view(&run.prediction);
    let view = view.map_err(|error| JobFailure::Prediction(error.to_string()))?;
    Links::from_safetensors(&view).map_err(|error| JobFailure::Prediction(error.to_string()))
}
