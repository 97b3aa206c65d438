//! Encodes frames ahead of a request, for several jobs together.

use std::sync::Arc;

use image::RgbImage;
use pointstream_reconstruction::map::PlaceVector;
use pointstream_reconstruction::model::{Features, Model, ModelError, Workload};

use super::{JobOutcomes, Stopped, TaskContext, TaskJob, places, read};
use crate::blobs::BlobKey;
use crate::jobs::{Held, JobDone, JobFailure, JobTimings};

/// Encodes the frames of all jobs together, except those that are kept already. A job whose frame
/// cannot be read, or that is cancelled, does not affect the others.
pub(super) fn encode_ahead(
    model: &dyn Model,
    context: &TaskContext,
    jobs: &[TaskJob],
    needs_restart: &mut Option<String>,
) -> JobOutcomes {
    let mut outcomes: JobOutcomes = jobs.iter().map(|job| Ok(job.done_encoding())).collect();
    // Each frame that can be encoded, with the index of its job.
    let mut frames: Vec<(usize, BlobKey, RgbImage)> = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        if let Err(error) = job.note_kept_places(model, context, &mut outcomes[index]) {
            outcomes[index] = Err(Stopped::from(error).into_failure(needs_restart));
            continue;
        }
        match job.read_missing_frames(context) {
            Ok(read) => frames.extend(read.into_iter().map(|(key, image)| (index, key, image))),
            Err(failure) => outcomes[index] = Err(failure),
        }
    }
    let Some(size) = jobs.first().map(|job| job.spec.size) else {
        return outcomes;
    };
    while !frames.is_empty() {
        let rest = frames.split_off(frames.len().min(model.frames_per_call(size).max(1)));
        let call = std::mem::replace(&mut frames, rest);
        let call: Vec<_> = call
            .into_iter()
            .filter(|(index, ..)| {
                let wanted = jobs[*index].check(context);
                if let Err(cancelled) = &wanted {
                    outcomes[*index] = Err(cancelled.clone());
                }
                wanted.is_ok()
            })
            .collect();
        if call.is_empty() {
            continue;
        }
        let (keys, images): (Vec<_>, Vec<_>) = call
            .into_iter()
            .map(|(index, key, image)| ((index, key), image))
            .unzip();
        let work = Workload::Encoding {
            frames: images.len(),
            size,
        };
        // It does not wait: what is not encoded now is encoded when a request needs it.
        let promise = match context.memory.try_take(model, work) {
            Ok(promise) => promise,
            Err(none) => {
                let others = frames.drain(..).map(|(index, ..)| index);
                for index in keys.into_iter().map(|(index, _)| index).chain(others) {
                    outcomes[index] = Err(none.into());
                }
                break;
            }
        };
        let encoded = model.encode(&images);
        drop(images);
        match encoded {
            Ok(features) => {
                let rows: Vec<&Features> = features.iter().collect();
                match places(model, &rows) {
                    Ok(places) => {
                        for ((index, key), place) in keys.iter().zip(places) {
                            jobs[*index].note_place(&mut outcomes[*index], *key, place);
                        }
                    }
                    Err(error) => {
                        let failure = Stopped::from(error).into_failure(needs_restart);
                        for (index, _) in &keys {
                            outcomes[*index] = Err(failure.clone());
                        }
                    }
                }
                for ((index, key), features) in keys.into_iter().zip(features) {
                    jobs[index].keep(context, key, &Arc::new(features));
                }
            }
            Err(error) => {
                let failure = Stopped::from(error).into_failure(needs_restart);
                // The model may be broken: the other calls are not made.
                let others = frames.drain(..).map(|(index, ..)| index);
                for index in keys.into_iter().map(|(index, _)| index).chain(others) {
                    outcomes[index] = Err(failure.clone());
                }
            }
        }
        drop(promise);
    }
    outcomes
}

impl TaskJob {
    pub(super) fn done_encoding(&self) -> JobDone {
        JobDone {
            result: None,
            places: vec![None; self.spec.frames.len()],
            adjusted: Vec::new(),
            timings: JobTimings {
                queued: self.queued,
                ..JobTimings::default()
            },
            held: Held::default(),
        }
    }

    /// Notes the vectors of the frames that are encoded already.
    fn note_kept_places(
        &self,
        model: &dyn Model,
        context: &TaskContext,
        outcome: &mut Result<JobDone, JobFailure>,
    ) -> Result<(), ModelError> {
        for frame in &self.spec.frames {
            if let Some(features) = context.encoded.get(&frame.blob, self.spec.size) {
                let place = places(model, &[&features])?.pop().flatten();
                self.note_place(outcome, frame.blob, place);
            }
        }
        Ok(())
    }

    /// Notes the vector of a frame in the job's outcome.
    fn note_place(
        &self,
        outcome: &mut Result<JobDone, JobFailure>,
        key: BlobKey,
        place: Option<PlaceVector>,
    ) {
        let frame = self.spec.frames.iter().position(|frame| frame.blob == key);
        if let (Ok(done), Some(frame)) = (outcome, frame) {
            done.places[frame] = place;
        }
    }

    /// Reads the frames that are not encoded yet. A reconstruction that overtook this job has encoded
    /// those that it needed.
    fn read_missing_frames(
        &self,
        context: &TaskContext,
    ) -> Result<Vec<(BlobKey, RgbImage)>, JobFailure> {
        self.check(context)?;
        let size = self.spec.size;
        let frames = self.spec.frames.iter();
        frames
            .filter(|frame| context.encoded.get(&frame.blob, size).is_none())
            .map(|frame| Ok((frame.blob, read(context.blobs.as_ref(), frame, size)?)))
            .collect()
    }
}
