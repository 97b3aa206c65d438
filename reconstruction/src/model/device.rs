//! Devices that models run on.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// A device that a model can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    Cpu,
    /// An NVIDIA GPU, by its index.
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

/// The value of `--device`: `auto`, `cpu`, `cuda` or a list like `cuda:0,cuda:1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChoice {
    /// All GPUs, or the CPU if there is none.
    Auto,
    Cpu,
    /// All GPUs.
    Cuda,
    /// The GPUs with these indices.
    CudaList(Vec<usize>),
}

/// Why the requested devices cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DeviceError {
    /// Not a device choice.
    #[error("unknown device {0:?}; use auto, cpu, cuda or a list like cuda:0,cuda:1")]
    Unknown(String),
    /// CUDA was requested but is not available; with the reason.
    #[error("CUDA was requested but cannot be used: {0}; use --device cpu or auto")]
    NoCuda(String),
    /// An index beyond the last GPU.
    #[error(
        "there is no cuda:{index}; this machine has {count} CUDA device(s), counted from cuda:0"
    )]
    NoSuchDevice {
        index: usize,
        /// Number of GPUs.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_device_choices() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!(" cpu ".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda));
        assert_eq!(
            "cuda:1, cuda:0,cuda:1".parse(),
            Ok(DeviceChoice::CudaList(vec![1, 0]))
        );
    }

    #[test]
    fn refuses_unknown_devices() {
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:0,cpu", "cuda:-1"] {
            assert_eq!(
                text.parse::<DeviceChoice>(),
                Err(DeviceError::Unknown(text.to_owned()))
            );
        }
    }
}
