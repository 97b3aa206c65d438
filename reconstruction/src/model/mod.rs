//! Models: what turns frames into depth, confidence and cameras.
//!
//! The service sees a model only through the trait [`Model`]. The crate `pointstream-inference`
//! implements it for TorchScript archives that follow the contract of `weights/README.md`.

mod adoption;
mod device;
mod frames_per_call;
mod known;
mod memory;
mod metadata;

use std::any::Any;
use std::ops::ControlFlow;

use ::image::RgbImage;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use adoption::adopt_known_cameras;
pub use device::{Device, DeviceChoice, DeviceError};
pub use frames_per_call::FramesPerCall;
pub use known::{KnownCamera, KnownCameraError};
pub use memory::{Memory, MemoryNeed, Shortage};
pub use metadata::{Metadata, Normalisation, Precision, Scale};

use crate::geometry::FrameSize;
use crate::prediction::Prediction;

/// The contract version that this service speaks.
pub const CONTRACT_VERSION: u32 = 1;

/// What a model keeps of one frame: the result of encoding it, opaque to everybody else.
///
/// It may live in the memory of the device that made it.
pub struct Features {
    /// Processed size of the frame it was made of.
    size: FrameSize,
    /// Memory it holds, in bytes.
    bytes: usize,
    /// The model's own representation.
    content: Box<dyn Any + Send + Sync>,
}

impl Features {
    /// Wraps a model's own representation of a frame.
    pub fn new(size: FrameSize, bytes: usize, content: Box<dyn Any + Send + Sync>) -> Self {
        Self {
            size,
            bytes,
            content,
        }
    }

    /// Processed size of the frame that this was made of.
    pub fn size(&self) -> FrameSize {
        self.size
    }

    /// Memory that this holds, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The representation, if it is of the type `T`.
    pub fn content<T: 'static>(&self) -> Option<&T> {
        self.content.downcast_ref()
    }
}

/// How far a prediction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The cameras of all frames are being found.
    Relating,
    /// Depth of this many frames has been estimated.
    Dense {
        /// Frames done.
        done: usize,
        /// Frames altogether.
        total: usize,
    },
    /// The depth of this many frames has been checked against the others.
    Fused {
        /// Frames done.
        done: usize,
        /// Frames altogether.
        total: usize,
    },
}

/// Called between the steps of a prediction; `Break` gives it up.
pub type OnStep<'a> = dyn FnMut(Step) -> ControlFlow<()> + 'a;

/// A loaded model on its device.
///
/// Calls block for as long as they compute, so they belong on a thread of their own.
pub trait Model: Send {
    /// What the archive says about itself.
    fn metadata(&self) -> &Metadata;

    /// The device it runs on.
    fn device(&self) -> Device;

    /// How many frames of this size are worth encoding in one call.
    fn frames_per_call(&self, size: FrameSize) -> usize;

    /// Whether there is memory for a prediction of so many frames of this size.
    ///
    /// # Errors
    /// [`Shortage`] with what would fit.
    fn check_memory(&self, frames: usize, size: FrameSize) -> Result<(), Shortage>;

    /// Encodes frames of one size, in one call. What comes of a frame depends on this frame only.
    ///
    /// # Errors
    /// [`ModelError::Size`] if the sides are not multiples of the patch size,
    /// [`ModelError::Features`] if the frames differ in size, [`ModelError::Output`] if what the
    /// model returns breaks its contract; [`ModelError::Call`] or [`ModelError::OutOfMemory`] if
    /// the model fails.
    fn encode(&self, frames: &[RgbImage]) -> Result<Vec<Features>, ModelError>;

    /// Predicts depth, confidence and cameras of frames that were encoded by this model.
    ///
    /// Cameras that are known, one per frame and at the frames' size, help a model whose metadata
    /// says that it takes [`poses`](Metadata::poses); others do not look at them. They are then the
    /// cameras of the prediction, and depth is in their unit of length, unless the model knows
    /// metres.
    ///
    /// # Errors
    /// [`ModelError::Empty`] without frames, [`ModelError::Features`] if they differ in size or
    /// were made by something else, [`ModelError::Cancelled`] after a `Break`,
    /// [`ModelError::Output`] if what the model returns breaks its contract;
    /// [`ModelError::Call`] or [`ModelError::OutOfMemory`] if the model fails.
    fn predict(
        &self,
        features: &[&Features],
        known_cameras: Option<&[KnownCamera]>,
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError>;
}

/// What a model can be loaded from, as often and wherever it is needed.
pub trait LoadModel: Send + Sync + std::fmt::Debug {
    /// What the model says about itself, known before it is loaded.
    fn metadata(&self) -> &Metadata;

    /// Loads the model onto a device. Takes as long as its weights need to get there.
    /// `frames_per_call` is what [`Model::frames_per_call`] goes by.
    ///
    /// Load and run a model on one thread.
    ///
    /// # Errors
    /// [`ModelError::Load`] if it cannot be loaded there.
    fn load(
        &self,
        device: Device,
        frames_per_call: FramesPerCall,
    ) -> Result<Box<dyn Model>, ModelError>;
}

/// Why a model could not be loaded or run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The file could not be read.
    #[error("cannot read the model {path}: {source}")]
    Read {
        /// The archive's path or name.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no archive of ours.
    #[error("{path} is not a model that this service can run: {reason}")]
    Archive {
        /// The archive's path or name.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// libtorch refused to load the archive.
    #[error("libtorch cannot load the model {path}: {reason}")]
    Load {
        /// The archive's path or name.
        path: String,
        /// What libtorch said.
        reason: String,
    },
    /// No frames at all.
    #[error("there are no frames to reconstruct; send at least one image")]
    Empty,
    /// Sides that are not multiples of the patch size.
    #[error("a frame of {size} pixels does not fit: both sides must be multiples of {patch_size}")]
    Size {
        /// Size of the frame.
        size: FrameSize,
        /// What they must be multiples of.
        patch_size: u32,
    },
    /// Encoded frames that do not belong together.
    #[error("the encoded frames do not belong together: {0}")]
    Features(String),
    /// The caller gave the prediction up.
    #[error("the prediction was cancelled")]
    Cancelled,
    /// The device's memory is exhausted.
    #[error(
        "out of memory in {entry_point} with {frames} frames of {size}; fewer images or a smaller process_res fit"
    )]
    OutOfMemory {
        /// Where it happened.
        entry_point: &'static str,
        /// Number of frames.
        frames: usize,
        /// Size of the frames.
        size: FrameSize,
    },
    /// A call of the model failed.
    #[error("the model failed in {entry_point}: {reason}")]
    Call {
        /// Where it happened.
        entry_point: &'static str,
        /// What libtorch said, its last line.
        reason: String,
    },
    /// The model returned something that its contract forbids.
    #[error("the model broke its contract in {entry_point}: {reason}")]
    Output {
        /// Where it happened.
        entry_point: &'static str,
        /// What is wrong.
        reason: String,
    },
}
