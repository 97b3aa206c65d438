//! Runs models that are TorchScript archives with libtorch.

mod adjustment;
mod errors;
mod extension;
mod inputs;
mod load;
mod model;
mod numbers;
mod transfer;

pub use model::TorchScriptModel;
