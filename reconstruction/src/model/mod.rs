//! Models: they turn frames into depth, confidence and cameras.
//!
//! The service knows a model only through the traits [`LoadModel`] and [`Model`]. The crate
//! `pointstream-inference` implements them for TorchScript archives that follow the contract of
//! `weights/README.md`.

mod adjustment;
mod adoption;
mod device;
mod error;
mod extension;
mod features;
mod frames_per_call;
mod hint;
mod interface;
mod known;
mod memory;
mod metadata;
mod priors;
mod stop_flag;

pub use adjustment::{AdjustedCamera, Adjustment, AdjustmentFrame, LinksOfRuns};
pub use adoption::adopt_known_cameras;
pub use device::{Device, DeviceChoice, DeviceError};
pub use error::ModelError;
pub use extension::{Extension, ExtensionFrame, PlacedFrame};
pub use features::Features;
pub use frames_per_call::FramesPerCall;
pub use hint::{CameraGroup, CameraHint, FocalLength};
pub use interface::{LoadModel, Model, OnStep, Step};
pub use known::{CameraDeviations, KnownCamera, KnownCameraError};
pub use memory::{AdjustmentNeed, Memory, MemoryNeed, Shortage, Workload};
pub use metadata::{CONTRACT_VERSION, Metadata, Normalisation, Precision, Scale};
pub use priors::CameraPriors;
pub use stop_flag::StopFlag;
