//! Loads archives onto devices.

use pointstream_reconstruction::model::{
    Device, FramesPerCall, LoadModel, Metadata, Model, ModelError, StopFlag,
};
use tch::CModule;

use super::errors::load_error;
use super::frame_threads::FrameThreads;
use super::model::TorchScriptModel;
use crate::archive::{Archive, ResolvedModel};
use crate::devices::torch_device;

impl TorchScriptModel {
    /// Loads an archive onto a device; blocks until its weights are there.
    ///
    /// Load and run a model on the same thread: TorchScript's settings are per thread.
    ///
    /// # Errors
    /// [`ModelError::Load`] if libtorch cannot load it, [`ModelError::Archive`] if its file was
    /// changed after the check.
    pub fn load(
        model: &ResolvedModel,
        device: Device,
        frames_per_call: FramesPerCall,
    ) -> Result<Self, ModelError> {
        without_optimiser(&model.path)?;
        let mut module = read_module(model, device)?;
        module
            .f_set_eval()
            .map_err(|error| load_error(&model.path, &error))?;
        Ok(Self {
            module,
            metadata: model.metadata.clone(),
            device,
            frames_per_call,
            frame_threads: match device {
                Device::Cpu => Some(FrameThreads::start(&model.path)?),
                Device::Cuda(_) => None,
            },
            stop: StopFlag::default(),
        })
    }
}

impl LoadModel for ResolvedModel {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn load(
        &self,
        device: Device,
        frames_per_call: FramesPerCall,
    ) -> Result<Box<dyn Model>, ModelError> {
        let model = TorchScriptModel::load(self, device, frames_per_call)?;
        Ok(Box::new(model))
    }
}

/// Turns TorchScript's optimiser off on this thread. It would profile and optimise each function in its
/// first calls, which slows the first reconstructions down more than it speeds later ones up.
pub(super) fn without_optimiser(path: &str) -> Result<(), ModelError> {
    tch::jit::f_set_graph_executor_optimize(false).map_err(|error| load_error(path, &error))
}

/// Reads an archive onto a device. From a file libtorch reads one tensor at a time, so that weights
/// are not in memory twice.
fn read_module(model: &ResolvedModel, device: Device) -> Result<CModule, ModelError> {
    let device = torch_device(device);
    match &model.archive {
        &Archive::Embedded(mut bytes) => CModule::load_data_on_device(&mut bytes, device)
            .map_err(|error| load_error(&model.path, &error)),
        Archive::File(file) => {
            let module = CModule::load_on_device(file.path(), device);
            // Checked first: a changed file may also fail to load.
            file.unchanged(&model.path)?;
            module.map_err(|error| load_error(&model.path, &error))
        }
    }
}
