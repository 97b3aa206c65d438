//! Between the processor and a GPU, without one waiting for the other.

use pointstream_reconstruction::model::{Device, ModelError};
use tch::{Kind, Tensor};

use super::errors::{Work, call_error};
use crate::cuda::{CudaError, Event};
use crate::devices::torch_device;

/// A tensor that a GPU may still be computing or copying.
#[derive(Debug)]
pub(super) struct Pending {
    tensor: Tensor,
    /// When it is there; none on the processor, where it is already.
    arrival: Option<Event>,
}

impl Pending {
    /// A result that stays on the device.
    pub(super) fn staying(tensor: Tensor, device: Device) -> Result<Self, ModelError> {
        let arrival = match device {
            Device::Cpu => None,
            Device::Cuda(index) => Some(Event::after_all_given_to(index).map_err(failed)?),
        };
        Ok(Self { tensor, arrival })
    }

    /// A result that is copied to the processor, as contiguous 32-bit floats. From a GPU it goes into
    /// memory that the GPU writes to by itself, which libtorch keeps for later copies.
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

    /// The tensor, once it is there.
    pub(super) fn wait(self) -> Result<Tensor, ModelError> {
        if let Some(arrival) = &self.arrival {
            arrival.wait().map_err(failed)?;
        }
        Ok(self.tensor)
    }
}

/// Sends a tensor of the processor's to a device. A GPU copies it while the processor goes on: from
/// memory that stays where it is, and that libtorch gives to nobody else until then.
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
