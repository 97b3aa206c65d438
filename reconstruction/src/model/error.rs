//! What can go wrong with a model.

use thiserror::Error;

use crate::geometry::FrameSize;

/// Why a model could not be loaded or run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The file could not be read.
    #[error("cannot read the model {path}: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    /// The file is not a model archive, or breaks the contract.
    #[error("{path} is not a model that this service can run: {reason}")]
    Archive { path: String, reason: String },
    /// libtorch refused to load the archive.
    #[error("libtorch cannot load the model {path}: {reason}")]
    Load { path: String, reason: String },
    /// A call without frames.
    #[error("there are no frames to reconstruct; send at least one image")]
    Empty,
    /// Sides that are not multiples of the patch size.
    #[error("a frame of {size} pixels does not fit: both sides must be multiples of {patch_size}")]
    Size { size: FrameSize, patch_size: u32 },
    /// Encoded frames of different sizes or of another model.
    #[error("the encoded frames do not belong together: {0}")]
    Features(String),
    /// The caller cancelled the prediction.
    #[error("the prediction was cancelled")]
    Cancelled,
    /// The device has too little memory.
    #[error(
        "out of memory in {entry_point} with {frames} frames of {size}; fewer images or a smaller process_res fit"
    )]
    OutOfMemory {
        entry_point: &'static str,
        frames: usize,
        size: FrameSize,
    },
    /// A call of the model failed.
    #[error("the model failed in {entry_point}: {reason}")]
    Call {
        entry_point: &'static str,
        /// The last line of libtorch's message.
        reason: String,
    },
    /// The output of the model breaks the contract.
    #[error("the model broke its contract in {entry_point}: {reason}")]
    Output {
        entry_point: &'static str,
        reason: String,
    },
}
