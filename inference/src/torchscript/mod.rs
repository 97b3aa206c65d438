//! Runs a model that is a TorchScript archive, by libtorch.

mod errors;
mod numbers;
mod transfer;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use ::image::RgbImage;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::{
    Device, Features, FramesPerCall, KnownCamera, Metadata, Model, ModelError, OnStep, Scale,
    Shortage, Step, adopt_known_cameras,
};
use pointstream_reconstruction::prediction::{Camera, Prediction};
use tch::{CModule, Kind, Tensor};

use crate::archive::{Archive, ResolvedModel};
use crate::devices::torch_device;
use crate::free_memory::free_memory;
use errors::{Work, broken, call_error, load_error};
use numbers::{
    CAMERA_NUMBERS, KNOWN_CAMERA_NUMBERS, Maps, camera, depth_and_confidence, integers, to_vec,
};
use transfer::{Pending, send};

/// A TorchScript archive, loaded onto a device.
pub struct TorchScriptModel {
    module: CModule,
    metadata: Metadata,
    device: Device,
    frames_per_call: FramesPerCall,
}

impl TorchScriptModel {
    /// Loads an archive onto a device. Takes as long as its weights need to get there.
    ///
    /// Load and run a model on one thread: TorchScript's settings belong to the thread.
    ///
    /// # Errors
    /// [`ModelError::Load`] if libtorch refuses.
    pub fn load(
        model: &ResolvedModel,
        device: Device,
        frames_per_call: FramesPerCall,
    ) -> Result<Self, ModelError> {
        // TorchScript would profile and rewrite each function in its first calls, which costs the
        // first reconstructions more than it gains the later ones.
        tch::jit::f_set_graph_executor_optimize(false)
            .map_err(|error| load_error(model, &error))?;
        let mut module = read_module(model, device)?;
        module
            .f_set_eval()
            .map_err(|error| load_error(model, &error))?;
        Ok(Self {
            module,
            metadata: model.metadata.clone(),
            device,
            frames_per_call,
        })
    }

    /// Calls an entry point. Tensors in and one tensor out: tch loses the inputs of a failed call
    /// with other values.
    fn call(
        &self,
        entry_point: &'static str,
        arguments: &[&Tensor],
        work: Work,
    ) -> Result<Tensor, ModelError> {
        tch::no_grad(|| self.module.method_ts(entry_point, arguments))
            .map_err(|error| call_error(entry_point, &error, work))
    }

    /// Frames of one size as uint8 `[n, 3, H, W]` on the model's device, where they are laid out
    /// anew: that is quicker there than on the processor.
    fn pixels(&self, frames: &[RgbImage], work: Work) -> Result<Tensor, ModelError> {
        let shape = [
            frames.len() as i64,
            i64::from(work.size.height),
            i64::from(work.size.width),
            3,
        ];
        let bytes: Cow<'_, [u8]> = match frames {
            [frame] => Cow::Borrowed(frame.as_raw()),
            _ => {
                let parts: Vec<&[u8]> = frames
                    .iter()
                    .map(|frame| frame.as_raw().as_slice())
                    .collect();
                Cow::Owned(parts.concat())
            }
        };
        let failed = |error| call_error("encode", &error, work);
        let pixels = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8).map_err(failed)?;
        send(pixels, self.device, work)?
            .f_permute([0, 3, 1, 2])
            .and_then(|pixels| pixels.f_contiguous())
            .map_err(failed)
    }

    /// Calls an entry point for all frames, some at a time, and hands over what it gives for which
    /// frames, in their order.
    ///
    /// A GPU is given the next call before what the last one gives is waited for: the processor
    /// takes it while the GPU computes.
    fn for_all_frames(
        &self,
        work: Work,
        mut call: impl FnMut(&Tensor) -> Result<Pending, ModelError>,
        mut take: impl FnMut(Tensor, Range<usize>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let memory = self.metadata.memory.as_ref();
        let at_once = self.frames_per_call.dense(self.device, memory, work.size);
        let mut under_way: Option<(Pending, Range<usize>)> = None;
        for begin in (0..work.frames).step_by(at_once) {
            let frames = begin..(begin + at_once).min(work.frames);
            let range = integers([frames.start as i64, frames.end as i64], work)?;
            let maps = call(&range)?;
            let due = match self.device {
                Device::Cpu => Some((maps, frames)),
                Device::Cuda(_) => under_way.replace((maps, frames)),
            };
            if let Some((maps, frames)) = due {
                take(maps.wait()?, frames)?;
            }
        }
        match under_way {
            Some((maps, frames)) => take(maps.wait()?, frames),
            None => Ok(()),
        }
    }

    /// Calls an entry point that gives maps, and has depth and confidence brought to the processor.
    fn maps(
        &self,
        entry_point: &'static str,
        arguments: &[&Tensor],
        work: Work,
    ) -> Result<Pending, ModelError> {
        let maps = self.call(entry_point, arguments, work)?;
        Pending::fetched(
            &depth_and_confidence(&maps, entry_point)?,
            self.device,
            entry_point,
            work,
        )
    }

    /// The rows of the encoded frames, one after another, as `relate` takes them.
    fn gather(&self, features: &[&Features], work: Work) -> Result<Tensor, ModelError> {
        let rows = features
            .iter()
            .map(|frame| {
                if frame.size() != work.size {
                    return Err(differing(work.size, frame.size()));
                }
                let row = frame.content::<EncodedFrame>().ok_or_else(|| {
                    ModelError::Features("they were encoded by another model".to_owned())
                })?;
                // Another GPU's worker may have encoded it.
                row.0
                    .f_to_device(torch_device(self.device))
                    .map_err(|error| call_error("the copy to the device", &error, work))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Tensor::f_cat(&rows, 0).map_err(|error| call_error("relate", &error, work))
    }

    /// Known cameras as float32 `[N, 21]`: extrinsics 3x4 and intrinsics 3x3, both by rows.
    fn known_cameras(&self, cameras: &[KnownCamera], work: Work) -> Result<Tensor, ModelError> {
        if cameras.len() != work.frames {
            return Err(ModelError::Features(format!(
                "there are {} of them, but {} known cameras",
                work.frames,
                cameras.len()
            )));
        }
        let mut numbers = Vec::with_capacity(cameras.len() * KNOWN_CAMERA_NUMBERS);
        for camera in cameras {
            let extrinsics = camera.extrinsics.fixed_view::<3, 4>(0, 0).transpose();
            let intrinsics = camera.intrinsics.transpose();
            let both = extrinsics.iter().chain(intrinsics.iter());
            numbers.extend(both.map(|number| *number as f32));
        }
        let shape = [cameras.len() as i64, KNOWN_CAMERA_NUMBERS as i64];
        let tensor = Tensor::f_from_slice(&numbers)
            .and_then(|tensor| tensor.f_reshape(shape))
            .map_err(|error| call_error("relate_posed", &error, work))?;
        send(tensor, self.device, work)
    }

    /// Reads the rows that an entry point gave.
    fn cameras(
        &self,
        rows: &Tensor,
        entry_point: &'static str,
        work: Work,
    ) -> Result<Vec<Camera>, ModelError> {
        let numbers = to_vec(rows, entry_point, &[work.frames, CAMERA_NUMBERS], work)?;
        numbers
            .chunks_exact(CAMERA_NUMBERS)
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

    fn check_memory(&self, frames: usize, size: FrameSize) -> Result<(), Shortage> {
        let memory = self.metadata.memory.unwrap_or_default();
        let frames_per_call = |size| self.frames_per_call(size);
        let free = free_memory(self.device);
        memory.check(self.device, frames, size, frames_per_call, free)
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
        let work = Work {
            frames: frames.len(),
            size,
        };
        let pixels = self.pixels(frames, work)?;
        let rows = self.call("encode", &[&pixels], work)?;
        if rows.size().first() != Some(&(frames.len() as i64)) {
            return Err(broken("encode", "its first dimension is not the frame"));
        }
        (0..frames.len() as i64)
            .map(|index| {
                // A row of several is copied: as a view it would keep the memory of all of them.
                let row = if frames.len() == 1 {
                    Ok(rows.shallow_clone())
                } else {
                    rows.f_narrow_copy(0, index, 1)
                };
                let row = row.map_err(|error| call_error("encode", &error, work))?;
                let bytes = row.numel() * row.kind().elt_size_in_bytes();
                Ok(Features::new(size, bytes, Box::new(EncodedFrame(row))))
            })
            .collect()
    }

    fn predict(
        &self,
        features: &[&Features],
        known_cameras: Option<&[KnownCamera]>,
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError> {
        let first = features.first().ok_or(ModelError::Empty)?;
        let work = Work {
            frames: features.len(),
            size: first.size(),
        };
        let total = work.frames;
        step(on_step, Step::Relating)?;
        let rows = self.gather(features, work)?;
        let size = integers(
            [i64::from(work.size.height), i64::from(work.size.width)],
            work,
        )?;
        let known_cameras = known_cameras.filter(|_| self.metadata.poses);
        let state = match known_cameras {
            Some(cameras) => {
                let cameras = self.known_cameras(cameras, work)?;
                self.call("relate_posed", &[&rows, &cameras, &size], work)?
            }
            None => self.call("relate", &[&rows, &size], work)?,
        };
        drop(rows);
        let rows = self.call("cameras", &[&state, &size], work)?;
        let mut cameras = self.cameras(&rows, "cameras", work)?;

        let mut maps = Maps::with_capacity(work);
        let mut dense = Vec::new();
        step(on_step, Step::Dense { done: 0, total })?;
        self.for_all_frames(
            work,
            |range| {
                let arguments = [&state, &size, range];
                if self.metadata.fuse {
                    Pending::staying(self.call("dense", &arguments, work)?, self.device)
                } else {
                    self.maps("dense", &arguments, work)
                }
            },
            |map, frames| {
                if self.metadata.fuse {
                    dense.push(map);
                } else {
                    maps.push(&map, frames.len(), "dense")?;
                }
                let done = frames.end;
                step(on_step, Step::Dense { done, total })
            },
        )?;
        if self.metadata.fuse {
            let parts = dense;
            let dense =
                Tensor::f_cat(&parts, 0).map_err(|error| call_error("fuse", &error, work))?;
            drop(parts);
            if self.metadata.align {
                let rows = self.call("align", &[&rows, &dense, &size], work)?;
                cameras = self.cameras(&rows, "align", work)?;
            }
            step(on_step, Step::Fused { done: 0, total })?;
            self.for_all_frames(
                work,
                |range| self.maps("fuse", &[&state, &dense, &size, range], work),
                |map, frames| {
                    maps.push(&map, frames.len(), "fuse")?;
                    let done = frames.end;
                    step(on_step, Step::Fused { done, total })
                },
            )?;
        }
        let mut prediction = Prediction {
            size: work.size,
            cameras,
            depth: maps.depth,
            confidence: maps.confidence,
        };
        if let Some(known) = known_cameras.filter(|_| self.metadata.scale == Scale::Relative) {
            adopt_known_cameras(&mut prediction, known);
        }
        Ok(prediction)
    }
}

/// Has libtorch read an archive onto a device. Of a file it holds one tensor at a time beside the
/// module: weights of gigabytes are not in memory twice.
fn read_module(model: &ResolvedModel, device: Device) -> Result<CModule, ModelError> {
    let device = torch_device(device);
    match &model.archive {
        &Archive::Embedded(mut bytes) => CModule::load_data_on_device(&mut bytes, device)
            .map_err(|error| load_error(model, &error)),
        Archive::File(file) => {
            let module = CModule::load_on_device(file.path(), device);
            // First the likelier reason: what was overwritten may not load either.
            file.unchanged(&model.path)?;
            module.map_err(|error| load_error(model, &error))
        }
    }
}

/// A row of `encode`.
struct EncodedFrame(Tensor);

// SAFETY: nobody writes to the tensor after it was made, and libtorch allows several threads to
// read a tensor and to count references to it.
unsafe impl Sync for EncodedFrame {}

fn step(on_step: &mut OnStep<'_>, step: Step) -> Result<(), ModelError> {
    match on_step(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ModelError::Cancelled),
    }
}

fn differing(one: FrameSize, another: FrameSize) -> ModelError {
    ModelError::Features(format!("one is of {one} pixels, another of {another}"))
}

fn is_positive_multiple(side: u32, patch_size: u32) -> bool {
    side > 0 && side.is_multiple_of(patch_size)
}
