//! Places new frames among placed ones.

use pointstream_reconstruction::model::{
    Extension, ExtensionFrame, Features, ModelError, OnStep, Step,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use tch::Tensor;

use super::errors::{Work, call_error};
use super::inputs::{FrameTensor, differing, feature_rows, hint_rows, placed_rows, tensor_of};
use super::model::{TorchScriptModel, step};
use super::numbers::{Maps, integers, report};
use super::per_frame::PerFrame;

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
        let (maps, own) = match self.metadata.fuse {
            true => self.fused(frames, &new, &state, &size, work, on_step)?,
            false => {
                let call = PerFrame {
                    name: "dense",
                    arguments: &[&state, &size],
                    stays: false,
                    work,
                };
                let maps = self.read_maps(call, &new, on_step, |done, total| Step::Dense {
                    done,
                    total,
                })?;
                (maps, Vec::new())
            }
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
        let mut done = 0;
        step(on_step, Step::Dense { done, total })?;
        let call = PerFrame {
            name: "dense",
            arguments: &[state, size],
            stays: true,
            work,
        };
        self.for_frames(call, &missing, |maps, count| {
            for index in 0..count {
                // A view would keep the memory of all rows.
                let row = match count {
                    1 => Ok(maps.shallow_clone()),
                    _ => maps.f_narrow_copy(0, index as i64, 1),
                };
                let row = row.map_err(|error| call_error(call.name, &error, work))?;
                let frame = missing[done + index];
                let bytes = row.numel() * row.kind().elt_size_in_bytes();
                let kept = Box::new(FrameTensor(row.shallow_clone()));
                own[frame] = Some(Features::new(work.size, bytes, kept));
                rows[frame] = Some(row);
            }
            done += count;
            step(on_step, Step::Dense { done, total })
        })?;
        let rows: Vec<Tensor> = rows.into_iter().flatten().collect();
        let dense = Tensor::f_cat(&rows, 0).map_err(|error| call_error("fuse", &error, work))?;
        drop(rows);
        let call = PerFrame {
            name: "fuse",
            arguments: &[state, &dense, size],
            stays: false,
            work,
        };
        let maps = self.read_maps(call, new, on_step, |done, total| Step::Fused {
            done,
            total,
        })?;
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

    /// Depth and confidence of some frames.
    fn read_maps(
        &self,
        call: PerFrame<'_>,
        frames: &[usize],
        on_step: &mut OnStep<'_>,
        progress: impl Fn(usize, usize) -> Step,
    ) -> Result<Maps, ModelError> {
        let total = frames.len();
        let mut done = 0;
        step(on_step, progress(done, total))?;
        let mut maps = Maps::with_capacity(Work {
            frames: total,
            ..call.work
        });
        self.for_frames(call, frames, |map, count| {
            maps.push(&map, count, call.name)?;
            done += count;
            step(on_step, progress(done, total))
        })?;
        Ok(maps)
    }
}
