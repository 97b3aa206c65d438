//! What can go wrong with a model.

use thiserror::Error;

use crate::geometry::FrameSize;

/// Why a model could not be loaded or run.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The file could not be read.
    #[error("cannot read the model {path}: {source}")]
    Read {
        /// The archive's path or name.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no archive of ours.
    #[error("{path} is not a model that this service can run: {reason}")]
    Archive {
        /// The archive's path or name.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// libtorch refused to load the archive.
    #[error("libtorch cannot load the model {path}: {reason}")]
    Load {
        /// The archive's path or name.
        path: String,
        /// What libtorch said.
        reason: String,
    },
    /// No frames at all.
    #[error("there are no frames to reconstruct; send at least one image")]
    Empty,
    /// Sides that are not multiples of the patch size.
    #[error("a frame of {size} pixels does not fit: both sides must be multiples of {patch_size}")]
    Size {
        /// Size of the frame.
        size: FrameSize,
        /// What they must be multiples of.
        patch_size: u32,
    },
    /// Encoded frames that do not belong together.
    #[error("the encoded frames do not belong together: {0}")]
    Features(String),
    /// The caller gave the prediction up.
    #[error("the prediction was cancelled")]
    Cancelled,
    /// The device's memory is exhausted.
    #[error(
        "out of memory in {entry_point} with {frames} frames of {size}; fewer images or a smaller process_res fit"
    )]
    OutOfMemory {
        /// Where it happened.
        entry_point: &'static str,
        /// Number of frames.
        frames: usize,
        /// Size of the frames.
        size: FrameSize,
    },
    /// A call of the model failed.
    #[error("the model failed in {entry_point}: {reason}")]
    Call {
        /// Where it happened.
        entry_point: &'static str,
        /// What libtorch said, its last line.
        reason: String,
    },
    /// The model returned something that its contract forbids.
    #[error("the model broke its contract in {entry_point}: {reason}")]
    Output {
        /// Where it happened.
        entry_point: &'static str,
        /// What is wrong.
        reason: String,
    },
}
