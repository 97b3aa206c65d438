//! Converts libtorch's errors.

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::ModelError;
use tch::TchError;

/// Number and size of the frames of a call; for messages and to check the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) frames: usize,
    pub(super) size: FrameSize,
}

impl Work {
    /// For calls that have nothing to do with frames.
    pub(super) const NONE: Self = Self {
        frames: 0,
        size: FrameSize {
            width: 0,
            height: 0,
        },
    };
}

pub(super) fn load_error(path: &str, error: &TchError) -> ModelError {
    ModelError::Load {
        path: path.to_owned(),
        reason: summary(error),
    }
}

pub(super) fn broken(entry_point: &'static str, reason: &str) -> ModelError {
    ModelError::Output {
        entry_point,
        reason: reason.to_owned(),
    }
}

pub(super) fn call_error(entry_point: &'static str, error: &TchError, work: Work) -> ModelError {
    let text = error.to_string();
    // libtorch has no error code for this; these are the messages of its CUDA and CPU allocators.
    if text.contains("out of memory") || text.contains("can't allocate memory") {
        return ModelError::OutOfMemory {
            entry_point,
            frames: work.frames,
            size: work.size,
        };
    }
    ModelError::Call {
        entry_point,
        reason: summary(error),
    }
}

/// The line of libtorch's message with the reason: the last one before the stack trace. The whole
/// message is logged at debug level.
fn summary(error: &TchError) -> String {
    let text = error.to_string();
    tracing::debug!(message = %text, "libtorch failed");
    text.lines()
        .map(str::trim)
        .take_while(|line| {
            !line.starts_with("Exception raised from") && !line.starts_with("frame #")
        })
        .filter(|line| !line.is_empty() && !line.starts_with("~") && !line.ends_with("<--- HERE"))
        .last()
        .unwrap_or("libtorch gave no reason")
        .to_owned()
}
