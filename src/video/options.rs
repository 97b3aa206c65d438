//! The options of the server that are about videos.

use clap::{Args, ValueEnum};
use strum::Display;

use crate::values::at_least_one;

/// Whether the server reads videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Display)]
#[strum(serialize_all = "lowercase")]
pub enum VideoMode {
    /// Whoever may use the server may send videos.
    On,
    Off,
    /// If ffmpeg is installed, and only this machine reaches the server.
    Auto,
}

/// The options of the server that are about videos.
#[derive(Debug, Clone, Args)]
pub struct VideoOptions {
    /// Whether clients may send videos, of which ffmpeg reads the frames. With auto they may if ffmpeg is
    /// installed and no other machine reaches the server: it listens on loopback alone, without --public-url
    /// and --trusted-proxies.
    #[arg(
        long,
        env = "POINTSTREAM_VIDEOS",
        value_name = "WORD",
        default_value = "auto"
    )]
    pub videos: VideoMode,

    /// The largest video that is accepted, in MiB. Its frames may take four times as much. Both are on the
    /// disk while the request lasts, beside what --max-disk-mb counts.
    #[arg(long, env = "POINTSTREAM_MAX_VIDEO_MB", value_name = "MIB", default_value_t = 512,
          value_parser = at_least_one)]
    pub max_video_mb: usize,
}

impl VideoOptions {
    /// Bytes of the largest video.
    pub fn max_bytes(&self) -> u64 {
        (self.max_video_mb as u64).saturating_mul(1 << 20)
    }

    /// Bytes that the frames of a video may take together.
    pub fn max_frame_bytes(&self) -> u64 {
        self.max_bytes().saturating_mul(4)
    }
}
