//! Places new frames among placed ones.

use std::ops::Range;

use pointstream_reconstruction::model::{
    Device, Extension, ExtensionFrame, Features, ModelError, OnStep, Step,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use tch::Tensor;

use super::errors::{Work, call_error};
use super::inputs::{FrameTensor, differing, feature_rows, hint_rows, placed_rows, tensor_of};
use super::model::{TorchScriptModel, step};
use super::numbers::{Maps, integers, report};
use super::transfer::Pending;

impl TorchScriptModel {
    /// See [`Model::extend`](pointstream_reconstruction::model::Model::extend).
    pub(super) fn extend_frames(
        &self,
        frames: &[ExtensionFrame<'_>],
        on_step: &mut OnStep<'_>,
    ) -> Result<Extension, ModelError> {
        let first = frames.first().ok_or(ModelError::Empty)?;
        if !self.metadata.extend {
            let name = &self.metadata.name;
            return Err(ModelError::Features(format!(
                "{name} cannot place frames among others"
            )));
        }
        let work = Work {
            frames: frames.len(),
            size: first.features.size(),
        };
        step(on_step, Step::Relating)?;
        let size = integers(
            [i64::from(work.size.height), i64::from(work.size.width)],
            work,
        )?;
        let state = self.relate_extended(frames, &size, work)?;
        let rows = self.call("cameras", &[&state, &size], work)?;
        let cameras = self.cameras(&rows, "cameras", work)?;
        let report = match self.metadata.report {
            true => Some(report(&self.call("report", &[&state, &size], work)?, work)?),
            false => None,
        };
        let new: Vec<usize> = (0..frames.len())
            .filter(|&frame| frames[frame].placed.is_none())
            .collect();
        let (maps, own) = if self.metadata.fuse {
            self.fused(frames, &new, &state, &size, work, on_step)?
        } else {
            let total = new.len();
            let mut done = 0;
            step(on_step, Step::Dense { done, total })?;
            let maps = self.maps_of(
                &new,
                work,
                |range| {
                    let maps = self.maps("dense", &[&state, &size, range], work)?;
                    Ok((maps, "dense"))
                },
                |frames| {
                    done += frames;
                    step(on_step, Step::Dense { done, total })
                },
            )?;
            (maps, Vec::new())
        };
        let links = self.links(&state, &size, work)?;
        let of_new = |frame: &usize| cameras[*frame].clone();
        let cameras: Vec<Camera> = new.iter().map(of_new).collect();
        Ok(Extension {
            prediction: Prediction {
                size: work.size,
                cameras,
                depth: maps.depth,
                confidence: maps.confidence,
                report: report.map(|report| new.iter().map(|frame| report[*frame]).collect()),
                links,
            },
            maps: own,
        })
    }

    fn relate_extended(
        &self,
        frames: &[ExtensionFrame<'_>],
        size: &Tensor,
        work: Work,
    ) -> Result<Tensor, ModelError> {
        let features: Vec<&Features> = frames.iter().map(|frame| frame.features).collect();
        let rows = feature_rows(&features, self.device, work)?;
        let cameras = frames
            .iter()
            .map(|frame| frame.placed.map(|placed| placed.camera));
        let cameras = placed_rows(
            cameras,
            self.metadata.distortion,
            "relate_extended",
            self.device,
            work,
        )?;
        let hints: Vec<_> = frames.iter().map(|frame| frame.hint).collect();
        let hints = hint_rows(&hints, self.device, work)?;
        self.call("relate_extended", &[&rows, &cameras, &hints, size], work)
    }

    /// The maps of the new frames after the check against the others, and the maps that were
    /// computed for it.
    fn fused(
        &self,
        frames: &[ExtensionFrame<'_>],
        new: &[usize],
        state: &Tensor,
        size: &Tensor,
        work: Work,
        on_step: &mut OnStep<'_>,
    ) -> Result<(Maps, Vec<Option<Features>>), ModelError> {
        let mut rows: Vec<Option<Tensor>> = frames
            .iter()
            .map(|frame| self.kept_maps(frame, work))
            .collect::<Result<_, _>>()?;
        let missing: Vec<usize> = (0..frames.len())
            .filter(|&frame| rows[frame].is_none())
            .collect();
        let mut own: Vec<Option<Features>> = frames.iter().map(|_| None).collect();
        let total = missing.len();
        step(on_step, Step::Dense { done: 0, total })?;
        for (done, &frame) in missing.iter().enumerate() {
            let range = integers([frame as i64, frame as i64 + 1], work)?;
            let row = self.call("dense", &[state, size, &range], work)?;
            let row = Pending::staying(row, self.device)?.wait()?;
            let bytes = row.numel() * row.kind().elt_size_in_bytes();
            let kept = Box::new(FrameTensor(row.shallow_clone()));
            own[frame] = Some(Features::new(work.size, bytes, kept));
            rows[frame] = Some(row);
            step(
                on_step,
                Step::Dense {
                    done: done + 1,
                    total,
                },
            )?;
        }
        let rows: Vec<Tensor> = rows.into_iter().flatten().collect();
        let dense = Tensor::f_cat(&rows, 0).map_err(|error| call_error("fuse", &error, work))?;
        drop(rows);
        let total = new.len();
        let mut done = 0;
        step(on_step, Step::Fused { done, total })?;
        let maps = self.maps_of(
            new,
            work,
            |range| {
                let maps = self.maps("fuse", &[state, &dense, size, range], work)?;
                Ok((maps, "fuse"))
            },
            |frames| {
                done += frames;
                step(on_step, Step::Fused { done, total })
            },
        )?;
        Ok((maps, own))
    }

    /// The model's own maps of a placed frame from an earlier extension, on this device.
    fn kept_maps(
        &self,
        frame: &ExtensionFrame<'_>,
        work: Work,
    ) -> Result<Option<Tensor>, ModelError> {
        let Some(maps) = frame.placed.and_then(|placed| placed.maps) else {
            return Ok(None);
        };
        if maps.size() != work.size {
            return Err(differing(work.size, maps.size()));
        }
        tensor_of(maps, self.device, work).map(Some)
    }

    /// Depth and confidence of some frames, a few in each call.
    fn maps_of(
        &self,
        frames: &[usize],
        work: Work,
        mut call: impl FnMut(&Tensor) -> Result<(Pending, &'static str), ModelError>,
        mut done: impl FnMut(usize) -> Result<(), ModelError>,
    ) -> Result<Maps, ModelError> {
        let mut maps = Maps::with_capacity(Work {
            frames: frames.len(),
            ..work
        });
        for range in runs(frames, self.dense_at_once(work)) {
            let (begin, end) = (range.start as i64, range.end as i64);
            let (pending, entry_point) = call(&integers([begin, end], work)?)?;
            maps.push(&pending.wait()?, range.len(), entry_point)?;
            done(range.len())?;
        }
        Ok(maps)
    }

    /// Frames of one call of `dense` or `fuse`.
    fn dense_at_once(&self, work: Work) -> usize {
        match self.device {
            Device::Cpu => 1,
            Device::Cuda(_) => {
                let memory = self.metadata.memory.as_ref();
                self.frames_per_call.dense(self.device, memory, work.size)
            }
        }
    }
}

/// Ascending indices as ranges of neighbours, none longer than `longest`.
fn runs(indices: &[usize], longest: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &index in indices {
        match runs.last_mut() {
            Some(run) if run.end == index && run.len() < longest => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn neighbours_share_a_run_up_to_its_limit() {
        assert_eq!(runs(&[2, 3, 4, 7, 8], 2), [2..4, 4..5, 7..9]);
        assert_eq!(runs(&[0, 1, 2, 5], 9), [0..3, 5..6]);
        assert!(runs(&[], 4).is_empty());
    }
}
