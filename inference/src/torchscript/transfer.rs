//! Asynchronous copies between CPU and GPU.

use pointstream_reconstruction::model::{Device, ModelError};
use tch::{Kind, Tensor};

use super::errors::{Work, call_error};
use crate::cuda::{CudaError, Event};
use crate::devices::torch_device;

/// A tensor that a GPU may still be computing or copying.
#[derive(Debug)]
pub(super) struct Pending {
    tensor: Tensor,
    /// Reached when the tensor is complete; `None` on the CPU.
    ready: Option<Event>,
}

impl Pending {
    /// A result that stays on the device.
    pub(super) fn staying(tensor: Tensor, device: Device) -> Result<Self, ModelError> {
        let ready = match device {
            Device::Cpu => None,
            Device::Cuda(index) => Some(Event::after_queued_work(index).map_err(failed)?),
        };
        Ok(Self { tensor, ready })
    }

    /// A result that is copied to the CPU as contiguous 32-bit floats. A copy from a GPU goes to
    /// pinned memory, which libtorch reuses for later copies.
    pub(super) fn fetched(
        tensor: &Tensor,
        device: Device,
        entry_point: &'static str,
        work: Work,
    ) -> Result<Self, ModelError> {
        let tensor = tensor
            .f_to_kind(Kind::Float)
            .and_then(|tensor| tensor.f_contiguous())
            .and_then(|tensor| match device {
                Device::Cpu => Ok(tensor),
                Device::Cuda(_) => tensor.f_to_device_(tch::Device::Cpu, Kind::Float, true, false),
            })
            .map_err(|error| call_error(entry_point, &error, work))?;
        Self::staying(tensor, device)
    }

    /// Waits until the tensor is complete.
    pub(super) fn wait(self) -> Result<Tensor, ModelError> {
        if let Some(ready) = &self.ready {
            ready.wait().map_err(failed)?;
        }
        Ok(self.tensor)
    }
}

/// Copies a tensor from the CPU to a device. The copy to a GPU is asynchronous, from pinned memory
/// that libtorch keeps until the copy is done.
pub(super) fn send(tensor: Tensor, device: Device, work: Work) -> Result<Tensor, ModelError> {
    let target = torch_device(device);
    match device {
        Device::Cpu => Ok(tensor),
        Device::Cuda(_) => {
            let kind = tensor.kind();
            tensor
                .f_internal_pin_memory(target)
                .and_then(|pinned| pinned.f_to_device_(target, kind, true, false))
                .map_err(|error| call_error("the copy to the device", &error, work))
        }
    }
}

fn failed(error: CudaError) -> ModelError {
    ModelError::Call {
        entry_point: "the wait for the GPU",
        reason: error.to_string(),
    }
}
