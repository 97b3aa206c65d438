//! Where models run.

use std::ffi::CStr;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::Serialize;
use thiserror::Error;

/// One device that a model can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU by its index.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Device> for tch::Device {
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(index) => Self::Cuda(index),
        }
    }
}

/// What the operator asked for: `auto`, `cpu`, `cuda` or a list like `cuda:0,cuda:1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChoice {
    /// Every GPU that there is, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// Every GPU that there is.
    Cuda,
    /// These GPUs.
    CudaList(Vec<usize>),
}

/// Why the devices asked for cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DeviceError {
    /// Not one of the words that we know.
    #[error("unknown device {0:?}; use auto, cpu, cuda or a list like cuda:0,cuda:1")]
    Unknown(String),
    /// CUDA was asked for and is not there.
    #[error("CUDA was asked for but cannot be used: {0}; use --device cpu or auto")]
    NoCuda(String),
    /// An index beyond the last GPU.
    #[error(
        "there is no cuda:{index}; this machine has {count} CUDA device(s), counted from cuda:0"
    )]
    NoSuchDevice {
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            list => {
                let mut indices = Vec::new();
                for item in list.split(',') {
                    let index = item
                        .trim()
                        .strip_prefix("cuda:")
                        .and_then(|index| index.parse().ok())
                        .ok_or_else(|| DeviceError::Unknown(text.to_owned()))?;
                    if !indices.contains(&index) {
                        indices.push(index);
                    }
                }
                Ok(Self::CudaList(indices))
            }
        }
    }
}

impl DeviceChoice {
    /// The devices to use on this machine, at least one.
    ///
    /// # Errors
    /// [`DeviceError::NoCuda`] or [`DeviceError::NoSuchDevice`] if what was asked for is not there.
    pub fn resolve(&self) -> Result<Vec<Device>, DeviceError> {
        match self {
            Self::Cpu => Ok(vec![Device::Cpu]),
            Self::Auto => Ok(match cuda_devices() {
                Ok(count) => (0..count).map(Device::Cuda).collect(),
                Err(reason) => {
                    tracing::debug!(%reason, "no CUDA device, using the processor");
                    vec![Device::Cpu]
                }
            }),
            Self::Cuda => {
                let count = cuda_devices().map_err(DeviceError::NoCuda)?;
                Ok((0..count).map(Device::Cuda).collect())
            }
            Self::CudaList(indices) => {
                let count = cuda_devices().map_err(DeviceError::NoCuda)?;
                if let Some(&index) = indices.iter().find(|&&index| index >= count) {
                    return Err(DeviceError::NoSuchDevice { index, count });
                }
                Ok(indices.iter().copied().map(Device::Cuda).collect())
            }
        }
    }
}

/// Number of usable CUDA devices (at least one), or why there is none.
fn cuda_devices() -> Result<usize, String> {
    load_cuda_library()?;
    match usize::try_from(tch::Cuda::device_count()) {
        Ok(count) if count > 0 && tch::Cuda::is_available() => Ok(count),
        _ => Err("no NVIDIA GPU or driver was found".to_owned()),
    }
}

/// Loads libtorch's CUDA part, once.
///
/// The program links only the CPU part, so that one build starts on machines without the CUDA
/// libraries. libtorch registers its CUDA kernels when the library is loaded.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_operators_write() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!(" cpu ".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda));
        assert_eq!(
            "cuda:1, cuda:0,cuda:1".parse(),
            Ok(DeviceChoice::CudaList(vec![1, 0]))
        );
    }

    #[test]
    fn refuses_other_words() {
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:0,cpu", "cuda:-1"] {
            assert_eq!(
                text.parse::<DeviceChoice>(),
                Err(DeviceError::Unknown(text.to_owned()))
            );
        }
    }
}
