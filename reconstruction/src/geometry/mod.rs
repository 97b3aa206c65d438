//! Sizes of images and parts of images.

mod region;
mod size;

pub use region::{Region, center_margin};
pub use size::FrameSize;
