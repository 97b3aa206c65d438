//! Runs models by libtorch: TorchScript archives that follow the contract of `weights/README.md`.
//!
//! The only crate that links libtorch. What a model is, and what it says about itself, is known to
//! [`pointstream_reconstruction::model`] without it.

mod archive;
mod cuda;
mod devices;
mod free_memory;
mod torchscript;

pub use archive::ResolvedModel;
pub use devices::resolve_devices;
pub use torchscript::TorchScriptModel;
