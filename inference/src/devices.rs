//! The devices of this machine.

use std::ffi::CStr;
use std::sync::OnceLock;

use pointstream_reconstruction::model::{Device, DeviceChoice, DeviceError};

/// The device as libtorch names it.
pub(crate) fn torch_device(device: Device) -> tch::Device {
    match device {
        Device::Cpu => tch::Device::Cpu,
        Device::Cuda(index) => tch::Device::Cuda(index),
    }
}

/// The devices of this machine that the operator chose, at least one.
///
/// # Errors
/// [`DeviceError::NoCuda`] or [`DeviceError::NoSuchDevice`] if a requested device is missing.
pub fn resolve_devices(choice: &DeviceChoice) -> Result<Vec<Device>, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(vec![Device::Cpu]),
        DeviceChoice::Auto => Ok(match cuda_devices() {
            Ok(count) => (0..count).map(Device::Cuda).collect(),
            Err(reason) => {
                tracing::debug!(%reason, "no CUDA device: using the CPU");
                vec![Device::Cpu]
            }
        }),
        DeviceChoice::Cuda => {
            let count = cuda_devices().map_err(DeviceError::NoCuda)?;
            Ok((0..count).map(Device::Cuda).collect())
        }
        DeviceChoice::CudaList(indices) => {
            let count = cuda_devices().map_err(DeviceError::NoCuda)?;
            if let Some(&index) = indices.iter().find(|&&index| index >= count) {
                return Err(DeviceError::NoSuchDevice { index, count });
            }
            Ok(indices.iter().copied().map(Device::Cuda).collect())
        }
    }
}

/// Number of usable CUDA devices, at least one, or the reason why there is none.
fn cuda_devices() -> Result<usize, String> {
    load_cuda_library()?;
    match usize::try_from(tch::Cuda::device_count()) {
        Ok(count) if count > 0 && tch::Cuda::is_available() => Ok(count),
        _ => Err("no NVIDIA GPU or driver was found".to_owned()),
    }
}

/// Loads libtorch's CUDA part, once.
///
/// The program links only the CPU part, so that the same build starts on machines without the CUDA
/// libraries. Loading the library registers its CUDA kernels with libtorch.
fn load_cuda_library() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            // SAFETY: the name is a C string; the library's initialisers are libtorch's own, and
            // the handle is kept for the life of the process.
            let handle = unsafe {
                libc::dlopen(
                    c"libtorch_cuda.so".as_ptr(),
                    libc::RTLD_NOW | libc::RTLD_GLOBAL,
                )
            };
            if !handle.is_null() {
                return Ok(());
            }
            // SAFETY: dlerror returns null or a C string valid until the next call on this thread.
            let message = unsafe {
                let message = libc::dlerror();
                if message.is_null() {
                    "unknown reason".into()
                } else {
                    CStr::from_ptr(message).to_string_lossy().into_owned()
                }
            };
            Err(format!("libtorch's CUDA part does not load ({message})"))
        })
        .clone()
}
