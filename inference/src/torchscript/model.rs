//! A loaded model: encodes frames and predicts.

use std::ops::ControlFlow;

use ::image::RgbImage;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::{
    AdjustedCamera, Adjustment, CameraPriors, Device, Extension, ExtensionFrame, Features,
    FramesPerCall, Metadata, Model, ModelError, OnStep, Scale, Shortage, Step, StopFlag, Workload,
    adopt_known_cameras,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use tch::{CModule, Tensor};

use super::errors::{Work, broken, call_error};
use super::frame_threads::FrameThreads;
use super::inputs::{FrameTensor, camera_rows, differing, feature_rows, hint_rows, image_tensor};
use super::numbers::{
    CAMERA_NUMBERS, DISTORTED_CAMERA_NUMBERS, Maps, camera, integers, report, to_vec,
};
use super::per_frame::PerFrame;
use crate::free_memory::free_memory;

/// A TorchScript archive, loaded onto a device.
pub struct TorchScriptModel {
    pub(super) module: CModule,
    pub(super) metadata: Metadata,
    pub(super) device: Device,
    pub(super) frames_per_call: FramesPerCall,
    /// On the CPU.
    pub(super) frame_threads: Option<FrameThreads>,
    /// The flag whose byte the module reads. Dropped after it.
    pub(super) stop: StopFlag,
}

impl TorchScriptModel {
    /// Calls an entry point with tensors only: tch leaks the arguments of a failed call if they are
    /// other values.
    pub(super) fn call(
        &self,
        entry_point: &'static str,
        arguments: &[&Tensor],
        work: Work,
    ) -> Result<Tensor, ModelError> {
        tch::no_grad(|| self.module.method_ts(entry_point, arguments)).map_err(|error| {
            match self.stop.is_set() {
                true => ModelError::Cancelled,
                false => call_error(entry_point, &error, work),
            }
        })
    }

    /// Frames that are computed at the same time on the CPU.
    pub(super) fn frames_at_once(&self, size: FrameSize) -> usize {
        let threads = self.frame_threads.as_ref().map_or(1, FrameThreads::count);
        self.frames_per_call(size).min(threads)
    }

    /// Encodes frames of one size in one call.
    fn encode_together(
        &self,
        frames: &[RgbImage],
        size: FrameSize,
    ) -> Result<Vec<Features>, ModelError> {
        let work = Work {
            frames: frames.len(),
            size,
        };
        let pixels = image_tensor(frames, self.device, work)?;
        let rows = self.call("encode", &[&pixels], work)?;
        if rows.size().first() != Some(&(frames.len() as i64)) {
            return Err(broken("encode", "its first dimension is not the frame"));
        }
        (0..frames.len() as i64)
            .map(|index| {
                // A view would keep the memory of all rows.
                let row = if frames.len() == 1 {
                    Ok(rows.shallow_clone())
                } else {
                    rows.f_narrow_copy(0, index, 1)
                };
                let row = row.map_err(|error| call_error("encode", &error, work))?;
                let bytes = row.numel() * row.kind().elt_size_in_bytes();
                Ok(Features::new(size, bytes, Box::new(FrameTensor(row))))
            })
            .collect()
    }

    /// Converts the rows of cameras that an entry point returned.
    pub(super) fn cameras(
        &self,
        rows: &Tensor,
        entry_point: &'static str,
        work: Work,
    ) -> Result<Vec<Camera>, ModelError> {
        let columns = match self.metadata.distortion {
            true => DISTORTED_CAMERA_NUMBERS,
            false => CAMERA_NUMBERS,
        };
        let numbers = to_vec(rows, entry_point, &[work.frames, columns], work)?;
        numbers
            .chunks_exact(columns)
            .map(|row| {
                if row.iter().all(|number| number.is_finite()) {
                    Ok(camera(row))
                } else {
                    Err(broken(entry_point, "a camera is not finite"))
                }
            })
            .collect()
    }
}

impl Model for TorchScriptModel {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn device(&self) -> Device {
        self.device
    }

    fn frames_per_call(&self, size: FrameSize) -> usize {
        let memory = self.metadata.memory.as_ref();
        self.frames_per_call.encoded(self.device, memory, size)
    }

    fn watch(&mut self, stop: &StopFlag) -> Result<(), ModelError> {
        const ENTRY_POINT: &str = "watch";
        if self.metadata.watch {
            // SAFETY: the byte lives as long as `self.stop`, which is replaced only after the module has
            // the tensor of the next flag. It has no destructor, and one byte is always aligned.
            let flag = unsafe {
                Tensor::from_blob(stop.byte(), &[1], &[1], tch::Kind::Uint8, tch::Device::Cpu)
            };
            let kept = tch::no_grad(|| self.module.method_ts(ENTRY_POINT, &[&flag]));
            drop(kept.map_err(|error| call_error(ENTRY_POINT, &error, Work::NONE))?);
        }
        self.stop = stop.clone();
        Ok(())
    }

    fn free_memory(&self) -> Option<u64> {
        free_memory(self.device)
    }

    fn check_memory(&self, work: Workload, available: Option<u64>) -> Result<u64, Shortage> {
        let memory = self.metadata.memory.unwrap_or_default();
        let frames_per_call = |size| self.frames_per_call(size);
        memory.check(self.device, work, frames_per_call, available)
    }

    fn encode(&self, frames: &[RgbImage]) -> Result<Vec<Features>, ModelError> {
        let size = frames.first().map(FrameSize::of).ok_or(ModelError::Empty)?;
        let patch_size = self.metadata.patch_size;
        if !is_positive_multiple(size.width, patch_size)
            || !is_positive_multiple(size.height, patch_size)
        {
            return Err(ModelError::Size { size, patch_size });
        }
        if let Some(other) = frames
            .iter()
            .map(FrameSize::of)
            .find(|other| *other != size)
        {
            return Err(differing(size, other));
        }
        match &self.frame_threads {
            Some(threads) => {
                let mut rows = Vec::with_capacity(frames.len());
                let prepare = || |index: usize| self.encode_together(&frames[index..=index], size);
                threads.each(
                    frames.len(),
                    self.frames_at_once(size),
                    prepare,
                    |row, _| {
                        rows.extend(row);
                        Ok(())
                    },
                )?;
                Ok(rows)
            }
            None => self.encode_together(frames, size),
        }
    }

    fn predict(
        &self,
        features: &[&Features],
        priors: CameraPriors<'_>,
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError> {
        let first = features.first().ok_or(ModelError::Empty)?;
        let work = Work {
            frames: features.len(),
            size: first.size(),
        };
        let total = work.frames;
        step(on_step, Step::Relating)?;
        let rows = feature_rows(features, self.device, work)?;
        let size = integers(
            [i64::from(work.size.height), i64::from(work.size.width)],
            work,
        )?;
        let known_cameras = priors.known.filter(|_| self.metadata.poses);
        let hints = priors.hints.filter(|_| self.metadata.hints);
        let state = match (known_cameras, hints) {
            (Some(cameras), _) => {
                let cameras = camera_rows(cameras, self.device, work)?;
                self.call("relate_posed", &[&rows, &cameras, &size], work)?
            }
            (None, Some(hints)) => {
                let hints = hint_rows(hints, self.device, work)?;
                self.call("relate_hinted", &[&rows, &hints, &size], work)?
            }
            (None, None) => self.call("relate", &[&rows, &size], work)?,
        };
        drop(rows);
        let rows = self.call("cameras", &[&state, &size], work)?;
        let mut cameras = self.cameras(&rows, "cameras", work)?;
        let report = match self.metadata.report {
            true => Some(report(&self.call("report", &[&state, &size], work)?, work)?),
            false => None,
        };

        let all: Vec<usize> = (0..total).collect();
        let mut maps = Maps::with_capacity(work);
        let mut dense = Vec::new();
        let mut done = 0;
        step(on_step, Step::Dense { done, total })?;
        let call = PerFrame {
            name: "dense",
            arguments: &[&state, &size],
            stays: self.metadata.fuse,
            work,
        };
        self.for_frames(call, &all, |map, frames| {
            match self.metadata.fuse {
                true => dense.push(map),
                false => maps.push(&map, frames, call.name)?,
            }
            done += frames;
            step(on_step, Step::Dense { done, total })
        })?;
        if self.metadata.fuse {
            let parts = dense;
            let dense =
                Tensor::f_cat(&parts, 0).map_err(|error| call_error("fuse", &error, work))?;
            drop(parts);
            if self.metadata.align {
                let rows = self.call("align", &[&rows, &dense, &size], work)?;
                cameras = self.cameras(&rows, "align", work)?;
            }
            let mut done = 0;
            step(on_step, Step::Fused { done, total })?;
            let call = PerFrame {
                name: "fuse",
                arguments: &[&state, &dense, &size],
                stays: false,
                work,
            };
            self.for_frames(call, &all, |map, frames| {
                maps.push(&map, frames, call.name)?;
                done += frames;
                step(on_step, Step::Fused { done, total })
            })?;
        }
        let mut prediction = Prediction {
            size: work.size,
            cameras,
            depth: maps.depth,
            confidence: maps.confidence,
            report,
            links: self.links(&state, &size, work)?,
        };
        if let Some(known) = known_cameras.filter(|_| self.metadata.scale == Scale::Relative) {
            adopt_known_cameras(&mut prediction, known);
        }
        Ok(prediction)
    }

    fn describe(&self, features: &[&Features]) -> Result<Vec<Vec<f32>>, ModelError> {
        const ENTRY_POINT: &str = "describe";
        let Some(first) = features.first().filter(|_| self.metadata.describe) else {
            return Ok(Vec::new());
        };
        let work = Work {
            frames: features.len(),
            size: first.size(),
        };
        let rows = feature_rows(features, self.device, work)?;
        let size = integers(
            [i64::from(work.size.height), i64::from(work.size.width)],
            work,
        )?;
        let vectors = self.call(ENTRY_POINT, &[&rows, &size], work)?;
        let columns = match vectors.size()[..] {
            [_, columns] => usize::try_from(columns).unwrap_or(0),
            _ => 0,
        };
        let numbers = to_vec(&vectors, ENTRY_POINT, &[work.frames, columns], work)?;
        Ok(numbers
            .chunks_exact(columns.max(1))
            .map(<[f32]>::to_vec)
            .collect())
    }

    fn extend(
        &self,
        frames: &[ExtensionFrame<'_>],
        on_step: &mut OnStep<'_>,
    ) -> Result<Extension, ModelError> {
        self.extend_frames(frames, on_step)
    }

    fn adjust(
        &self,
        adjustment: &Adjustment<'_>,
    ) -> Result<Vec<Option<AdjustedCamera>>, ModelError> {
        self.adjust_frames(adjustment)
    }
}

pub(super) fn step(on_step: &mut OnStep<'_>, step: Step) -> Result<(), ModelError> {
    match on_step(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ModelError::Cancelled),
    }
}

fn is_positive_multiple(side: u32, patch_size: u32) -> bool {
    side > 0 && side.is_multiple_of(patch_size)
}
