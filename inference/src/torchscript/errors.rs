//! What libtorch says when it fails, as errors of ours.

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::ModelError;
use tch::TchError;

/// How much is asked of a call; for messages and for checking what it returns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) frames: usize,
    pub(super) size: FrameSize,
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
    // libtorch has no error code for it; these are the words of its CUDA and its CPU allocator.
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

/// The line of libtorch's message that says what went wrong: the last one that is not part of a
/// stack trace. The whole message goes to the log.
fn summary(error: &TchError) -> String {
    let text = error.to_string();
    tracing::debug!(message = %text, "libtorch reports an error");
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
