//! The interface of a model: what loads it and what it computes.

use std::ops::ControlFlow;

use ::image::RgbImage;
use serde::{Deserialize, Serialize};

use super::device::Device;
use super::error::ModelError;
use super::features::Features;
use super::frames_per_call::FramesPerCall;
use super::known::KnownCamera;
use super::memory::Shortage;
use super::metadata::Metadata;
use crate::geometry::FrameSize;
use crate::prediction::Prediction;

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
