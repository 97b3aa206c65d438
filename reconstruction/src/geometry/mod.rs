//! Sizes of images and parts of images.

mod region;
mod size;

pub use region::Region;
pub(crate) use region::center_margin;
pub use size::FrameSize;
