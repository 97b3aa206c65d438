//! Runs models with libtorch: TorchScript archives that follow the contract of `weights/README.md`.
//!
//! This is the only crate that links libtorch. The interface of a model and its metadata are in
//! [`pointstream_reconstruction::model`], which does not need it.

#![warn(clippy::unwrap_used)]

mod archive;
mod cuda;
mod devices;
mod free_memory;
mod host_memory;
mod torchscript;

pub use archive::ResolvedModel;
pub use devices::resolve_devices;
pub use host_memory::{free as free_memory, machine_memory};
pub use torchscript::TorchScriptModel;
