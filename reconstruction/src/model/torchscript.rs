//! Runs a model that is a TorchScript archive, by libtorch.

use std::ops::ControlFlow;

use ::image::RgbImage;
use nalgebra::{Matrix3, Matrix4};
use tch::{CModule, Kind, TchError, Tensor};

use super::{
    Device, Features, FrameSize, Metadata, Model, ModelError, OnStep, ResolvedModel, Step,
};
use crate::prediction::{Camera, Prediction};

/// Numbers in a row of `cameras`: extrinsics 3x4, intrinsics 3x3, registered.
const CAMERA_NUMBERS: usize = 22;

/// A TorchScript archive, loaded onto a device.
pub struct TorchScriptModel {
    module: CModule,
    metadata: Metadata,
    device: Device,
}

impl TorchScriptModel {
    /// Loads an archive onto a device. Takes as long as its weights need to get there.
    ///
    /// Load and run a model on one thread: TorchScript's settings belong to the thread.
    ///
    /// # Errors
    /// [`ModelError::Load`] if libtorch refuses.
    pub fn load(model: &ResolvedModel, device: Device) -> Result<Self, ModelError> {
        // TorchScript would profile and rewrite each function in its first calls, which costs the
        // first reconstructions more than it gains the later ones.
        tch::jit::f_set_graph_executor_optimize(false)
            .map_err(|error| load_error(model, &error))?;
        let mut module =
            CModule::load_data_on_device(&mut model.archive.as_ref(), tch::Device::from(device))
                .map_err(|error| load_error(model, &error))?;
        module
            .f_set_eval()
            .map_err(|error| load_error(model, &error))?;
        Ok(Self {
            module,
            metadata: model.metadata.clone(),
            device,
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

    fn to_device(&self, tensor: Tensor, work: Work) -> Result<Tensor, ModelError> {
        tensor
            .f_to_device(tch::Device::from(self.device))
            .map_err(|error| call_error("the copy to the device", &error, work))
    }

    /// One contiguous tensor of integers on the model's device.
    fn integers(&self, values: [i64; 2], work: Work) -> Result<Tensor, ModelError> {
        let tensor = Tensor::f_from_slice(&values)
            .map_err(|error| call_error("the copy to the device", &error, work))?;
        self.to_device(tensor, work)
    }

    /// The rows of the encoded frames, one after another, as `relate` takes them.
    fn gather(&self, features: &[&Features], work: Work) -> Result<Tensor, ModelError> {
        let rows = features
            .iter()
            .map(|frame| {
                if frame.size() != work.size {
                    return Err(ModelError::Features(format!(
                        "one is of {}x{} pixels, another of {}x{}",
                        work.size.width,
                        work.size.height,
                        frame.size().width,
                        frame.size().height
                    )));
                }
                let row = frame.content::<EncodedFrame>().ok_or_else(|| {
                    ModelError::Features("they were encoded by another model".to_owned())
                })?;
                self.to_device(row.0.shallow_clone(), work)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Tensor::f_cat(&rows, 0).map_err(|error| call_error("relate", &error, work))
    }

    fn cameras(
        &self,
        state: &Tensor,
        size: &Tensor,
        work: Work,
    ) -> Result<Vec<Camera>, ModelError> {
        let rows = self.call("cameras", &[state, size], work)?;
        let numbers = to_vec(&rows, "cameras", &[work.frames, CAMERA_NUMBERS], work)?;
        numbers
            .chunks_exact(CAMERA_NUMBERS)
            .map(|row| {
                if row.iter().all(|number| number.is_finite()) {
                    Ok(camera(row))
                } else {
                    Err(broken("cameras", "a camera is not finite"))
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

    fn encode(&self, frame: &RgbImage) -> Result<Features, ModelError> {
        let size = FrameSize::of(frame);
        let patch_size = self.metadata.patch_size;
        if !is_positive_multiple(size.width, patch_size)
            || !is_positive_multiple(size.height, patch_size)
        {
            return Err(ModelError::Size {
                width: size.width,
                height: size.height,
                patch_size,
            });
        }
        let work = Work { frames: 1, size };
        let shape = [1, i64::from(size.height), i64::from(size.width), 3];
        let pixels = Tensor::f_from_data_size(frame.as_raw(), &shape, Kind::Uint8)
            .and_then(|pixels| pixels.f_permute([0, 3, 1, 2]))
            .and_then(|pixels| pixels.f_contiguous())
            .map_err(|error| call_error("encode", &error, work))?;
        let pixels = self.to_device(pixels, work)?;
        let row = self.call("encode", &[&pixels], work)?;
        if row.size().first() != Some(&1) {
            return Err(broken("encode", "its first dimension is not the frame"));
        }
        let bytes = row.numel() * row.kind().elt_size_in_bytes();
        Ok(Features::new(size, bytes, Box::new(EncodedFrame(row))))
    }

    fn predict(
        &self,
        features: &[&Features],
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
        let size = self.integers(
            [i64::from(work.size.height), i64::from(work.size.width)],
            work,
        )?;
        let state = self.call("relate", &[&rows, &size], work)?;
        drop(rows);
        let cameras = self.cameras(&state, &size, work)?;

        let mut maps = Maps::with_capacity(work);
        let mut dense = Vec::with_capacity(total);
        for frame in 0..total {
            step(on_step, Step::Dense { done: frame, total })?;
            let range = self.integers([frame as i64, frame as i64 + 1], work)?;
            let map = self.call("dense", &[&state, &size, &range], work)?;
            if self.metadata.fuse {
                dense.push(map);
            } else {
                maps.push(&map, "dense")?;
            }
        }
        step(on_step, Step::Dense { done: total, total })?;
        if self.metadata.fuse {
            let dense =
                Tensor::f_cat(&dense, 0).map_err(|error| call_error("fuse", &error, work))?;
            for frame in 0..total {
                step(on_step, Step::Fused { done: frame, total })?;
                let range = self.integers([frame as i64, frame as i64 + 1], work)?;
                let map = self.call("fuse", &[&state, &dense, &size, &range], work)?;
                maps.push(&map, "fuse")?;
            }
            step(on_step, Step::Fused { done: total, total })?;
        }
        Ok(Prediction {
            width: work.size.width as usize,
            height: work.size.height as usize,
            cameras,
            depth: maps.depth,
            confidence: maps.confidence,
        })
    }
}

/// A row of `encode`.
struct EncodedFrame(Tensor);

// SAFETY: nobody writes to the tensor after it was made, and libtorch allows several threads to
// read a tensor and to count references to it.
unsafe impl Sync for EncodedFrame {}

/// How much is asked of a call; for messages and for checking what it returns.
#[derive(Debug, Clone, Copy)]
struct Work {
    frames: usize,
    size: FrameSize,
}

/// Depth and confidence of the frames so far.
struct Maps {
    work: Work,
    depth: Vec<f32>,
    confidence: Vec<f32>,
}

impl Maps {
    fn with_capacity(work: Work) -> Self {
        let pixels = work.frames * work.size.width as usize * work.size.height as usize;
        Self {
            work,
            depth: Vec::with_capacity(pixels),
            confidence: Vec::with_capacity(pixels),
        }
    }

    /// Appends one frame: `[1, C >= 2, H, W]`, depth in channel 0 and confidence in channel 1.
    fn push(&mut self, map: &Tensor, entry_point: &'static str) -> Result<(), ModelError> {
        let work = self.work;
        let (height, width) = (work.size.height as usize, work.size.width as usize);
        let channels = map
            .f_narrow(1, 0, 2)
            .map_err(|_| broken(entry_point, "it gives fewer than two channels"))?;
        let numbers = to_vec(&channels, entry_point, &[1, 2, height, width], work)?;
        let (depth, confidence) = numbers.split_at(height * width);
        if !depth.iter().all(|value| value.is_finite() && *value > 0.0) {
            return Err(broken(entry_point, "a depth is not finite and positive"));
        }
        if !confidence
            .iter()
            .all(|value| value.is_finite() && *value >= 1.0)
        {
            return Err(broken(
                entry_point,
                "a confidence is not finite and at least 1",
            ));
        }
        self.depth.extend_from_slice(depth);
        self.confidence.extend_from_slice(confidence);
        Ok(())
    }
}

fn step(on_step: &mut OnStep<'_>, step: Step) -> Result<(), ModelError> {
    match on_step(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ModelError::Cancelled),
    }
}

/// Copies a tensor of the given shape to the processor as 32-bit floats.
fn to_vec(
    tensor: &Tensor,
    entry_point: &'static str,
    shape: &[usize],
    work: Work,
) -> Result<Vec<f32>, ModelError> {
    let found = tensor.size();
    if found.len() != shape.len()
        || found
            .iter()
            .zip(shape)
            .any(|(found, wanted)| usize::try_from(*found) != Ok(*wanted))
    {
        return Err(broken(
            entry_point,
            &format!("its shape is {found:?} instead of {shape:?}"),
        ));
    }
    let mut numbers = vec![0.0; shape.iter().product()];
    tensor
        .f_to_device(tch::Device::Cpu)
        .and_then(|tensor| tensor.f_to_kind(Kind::Float))
        .and_then(|tensor| tensor.f_contiguous())
        .and_then(|tensor| tensor.f_copy_data(&mut numbers, tensor.numel()))
        .map_err(|error| call_error(entry_point, &error, work))?;
    Ok(numbers)
}

/// A camera of a row of `cameras`.
fn camera(row: &[f32]) -> Camera {
    let mut extrinsics = Matrix4::identity();
    for (index, &number) in row[..12].iter().enumerate() {
        extrinsics[(index / 4, index % 4)] = f64::from(number);
    }
    Camera {
        extrinsics,
        intrinsics: Matrix3::from_row_iterator(row[12..21].iter().map(|&number| f64::from(number))),
        registered: row[21] > 0.5,
    }
}

fn is_positive_multiple(side: u32, patch_size: u32) -> bool {
    side > 0 && side.is_multiple_of(patch_size)
}

fn load_error(model: &ResolvedModel, error: &TchError) -> ModelError {
    ModelError::Load {
        path: model.path.clone(),
        reason: summary(error),
    }
}

fn broken(entry_point: &'static str, reason: &str) -> ModelError {
    ModelError::Output {
        entry_point,
        reason: reason.to_owned(),
    }
}

fn call_error(entry_point: &'static str, error: &TchError, work: Work) -> ModelError {
    let text = error.to_string();
    // libtorch has no error code for it; these are the words of its CUDA and its CPU allocator.
    if text.contains("out of memory") || text.contains("can't allocate memory") {
        return ModelError::OutOfMemory {
            entry_point,
            frames: work.frames,
            width: work.size.width,
            height: work.size.height,
        };
    }
    ModelError::Call {
        entry_point,
        reason: summary(error),
    }
}

/// The line of libtorch's message that says what went wrong: the last one that is not part of a
/// stack trace. The whole message goes to the log.
fn summary(error: &TchError) -> String {
    let text = error.to_string();
    tracing::debug!(message = %text, "libtorch reports an error");
    text.lines()
        .map(str::trim)
        .take_while(|line| {
            !line.starts_with("Exception raised from") && !line.starts_with("frame #")
        })
        .filter(|line| !line.is_empty() && !line.starts_with("~") && !line.ends_with("<--- HERE"))
        .last()
        .unwrap_or("libtorch gave no reason")
        .to_owned()
}
