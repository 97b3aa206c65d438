//! Why a video gives no frames.

use std::io;

use thiserror::Error;

/// Why a video gives no frames. It names no file: who asks knows which one it is.
#[derive(Debug, Error)]
pub enum VideoError {
    #[error("ffmpeg is not installed")]
    NoFfmpeg,
    /// ffmpeg would draw it as pictures.
    #[error("it is text")]
    Text,
    /// A picture of a format that is not decoded. ffmpeg would read a part of some.
    #[error("it is a picture ({0})")]
    Still(String),
    #[error("it has no frames")]
    NoFrames,
    #[error("it has more than {0} frames; cut it into shorter videos")]
    TooManyFrames(usize),
    /// Frames are wanted for each second.
    #[error("it does not tell the times of its frames; ask for a number of frames")]
    NoTimes,
    #[error(
        "it is an HDR video ({hdr}), and the installed ffmpeg cannot convert its colours: it lacks the \
         filters {filters}"
    )]
    ToneMapping {
        /// The transfer function.
        hdr: &'static str,
        /// Those that are missing.
        filters: String,
    },
    /// ffmpeg's message.
    #[error("{0}")]
    Unreadable(String),
    #[error("its frames take more than {0} bytes; ask for fewer")]
    TooLarge(u64),
    #[error("files or programs cannot be used: {0}")]
    System(#[from] io::Error),
}
