//! Placing new frames among frames that earlier predictions have placed.

use super::features::Features;
use super::hint::CameraHint;
use crate::prediction::{Camera, Prediction};

/// A frame of an extension.
#[derive(Clone, Copy)]
pub struct ExtensionFrame<'a> {
    pub features: &'a Features,
    pub hint: CameraHint,
    /// What is known about the frame if it is placed; `None` for a new frame.
    pub placed: Option<PlacedFrame<'a>>,
}

/// A frame whose camera is known from an earlier prediction.
#[derive(Clone, Copy)]
pub struct PlacedFrame<'a> {
    /// In the coordinates of the extension: near the origin, with depths of about 1.
    pub camera: &'a Camera,
    /// The model's own maps of the frame, from an earlier extension in the same unit of length.
    pub maps: Option<&'a Features>,
}

/// The result of an extension.
pub struct Extension {
    /// Of the new frames, in their order, in the coordinates of the placed frames.
    pub prediction: Prediction,
    /// The model's own maps of each frame, new or placed, in the order of the frames: those that
    /// were computed, for later extensions. Empty if the model has none.
    pub maps: Vec<Option<Features>>,
}
