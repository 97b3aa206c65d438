//! Frames of videos, read by an installed ffmpeg.
//!
//! A video is decoded twice: once to measure how sharp its frames are, and once to write those that are
//! chosen. What ffmpeg may do with a video depends on who gives it: see [`Source`].

mod bounds;
mod choice;
mod error;
mod frames;
mod measure;
mod options;
mod places;
mod probe;
mod program;
mod scratch;
mod source;
mod tone_mapping;

pub use bounds::Bounds;
pub use error::VideoError;
pub use frames::{MOST_FRAMES, MOST_PER_SECOND, Wanted, frames};
pub use options::VideoOptions;
pub use places::{NoVideo, Place, Reader, Videos, VideosError};
pub use scratch::Scratch;
pub use source::Source;
