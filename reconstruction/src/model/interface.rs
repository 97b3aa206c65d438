//! The interface of a model: what loads it and what it computes.

use std::ops::ControlFlow;

use ::image::RgbImage;
use serde::{Deserialize, Serialize};

use super::adjustment::{AdjustedCamera, Adjustment};
use super::device::Device;
use super::error::ModelError;
use super::extension::{Extension, ExtensionFrame};
use super::features::Features;
use super::frames_per_call::FramesPerCall;
use super::memory::{Shortage, Workload};
use super::metadata::Metadata;
use super::priors::CameraPriors;
use super::stop_flag::StopFlag;
use crate::geometry::FrameSize;
use crate::prediction::Prediction;

/// Progress of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The model estimates the cameras of all frames.
    Relating,
    /// The depth of `done` frames was estimated.
    Dense { done: usize, total: usize },
    /// The depth of `done` frames was checked against the other frames.
    Fused { done: usize, total: usize },
}

/// Called between the steps of a prediction. `Break` cancels it.
pub type OnStep<'a> = dyn FnMut(Step) -> ControlFlow<()> + 'a;

/// A loaded model on its device.
///
/// Calls block while they compute: make them on a thread of their own.
pub trait Model: Send {
    /// The archive's metadata.
    fn metadata(&self) -> &Metadata;

    /// The device that the model runs on.
    fn device(&self) -> Device;

    /// How many frames of this size to encode in one call.
    fn frames_per_call(&self, size: FrameSize) -> usize;

    /// Ends later calls soon after the flag is set, with [`ModelError::Cancelled`]. Only a model whose
    /// metadata has [`watch`](Metadata::watch) can do that in the middle of a call.
    ///
    /// # Errors
    /// [`ModelError::Call`] if the model fails.
    fn watch(&mut self, stop: &StopFlag) -> Result<(), ModelError>;

    /// Free memory of the device in bytes, if it is known.
    fn free_memory(&self) -> Option<u64>;

    /// Compares what some work needs with the available memory in bytes, `None` if unknown. Returns the
    /// need, 0 if it is unknown.
    ///
    /// # Errors
    /// [`Shortage`] with what would fit.
    fn check_memory(&self, work: Workload, available: Option<u64>) -> Result<u64, Shortage>;

    /// Encodes frames of one size in one call. The features of a frame depend on this frame only.
    ///
    /// # Errors
    /// [`ModelError::Size`] if the sides are not multiples of the patch size,
    /// [`ModelError::Features`] if the frames differ in size, [`ModelError::Output`] if the output
    /// breaks the contract, [`ModelError::Call`] or [`ModelError::OutOfMemory`] if the model fails.
    fn encode(&self, frames: &[RgbImage]) -> Result<Vec<Features>, ModelError>;

    /// A vector of each frame, all of one length: the scalar product of two is high if the frames
    /// show the same place. None if the metadata does not have [`describe`](Metadata::describe).
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    fn describe(&self, features: &[&Features]) -> Result<Vec<Vec<f32>>, ModelError>;

    /// Predicts depth, confidence and cameras of frames that this model encoded.
    ///
    /// A model whose metadata has [`poses`](Metadata::poses) uses the known cameras of `priors`; other
    /// models ignore them. Unless the model's scale is metric, they become the cameras of the
    /// prediction, and depth is in their unit of length. Otherwise a model whose metadata has
    /// [`hints`](Metadata::hints) uses the hints.
    ///
    /// # Errors
    /// [`ModelError::Empty`] without frames, [`ModelError::Features`] if the frames differ in size
    /// or another model encoded them, [`ModelError::Cancelled`] after a `Break`,
    /// [`ModelError::Output`] if the output breaks the contract, [`ModelError::Call`] or
    /// [`ModelError::OutOfMemory`] if the model fails.
    fn predict(
        &self,
        features: &[&Features],
        priors: CameraPriors<'_>,
        on_step: &mut OnStep<'_>,
    ) -> Result<Prediction, ModelError>;

    /// Predicts depth, confidence and cameras of new frames in the coordinates of placed ones. At
    /// least two frames should be placed; placed frames keep their cameras.
    ///
    /// Only a model whose metadata has [`extend`](Metadata::extend) can do that.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict), and [`ModelError::Features`] if the model cannot extend.
    fn extend(
        &self,
        frames: &[ExtensionFrame<'_>],
        on_step: &mut OnStep<'_>,
    ) -> Result<Extension, ModelError>;

    /// Adjusts the cameras of frames together. `None` for a frame that was not adjusted; the first
    /// frame and the unit of length stay.
    ///
    /// Only a model whose metadata has [`adjust`](Metadata::adjust) can do that. Its predictions have
    /// [`links`](Prediction::links).
    ///
    /// # Errors
    /// Those of [`extend`](Self::extend).
    fn adjust(
        &self,
        adjustment: &Adjustment<'_>,
    ) -> Result<Vec<Option<AdjustedCamera>>, ModelError>;
}

/// A source of a model, which can be loaded several times and onto several devices.
pub trait LoadModel: Send + Sync + std::fmt::Debug {
    /// The model's metadata, known before it is loaded.
    fn metadata(&self) -> &Metadata;

    /// Loads the model onto a device; blocks until its weights are there. `frames_per_call` sets
    /// how many frames a call takes.
    ///
    /// Load and run a model on the same thread.
    ///
    /// # Errors
    /// [`ModelError::Load`] if it cannot be loaded onto the device.
    fn load(
        &self,
        device: Device,
        frames_per_call: FramesPerCall,
    ) -> Result<Box<dyn Model>, ModelError>;
}
