//! Runs models that are TorchScript archives with libtorch.

mod adjustment;
mod errors;
mod extension;
mod frame_threads;
mod inputs;
mod load;
mod model;
mod numbers;
mod per_frame;
mod transfer;

pub use model::TorchScriptModel;
