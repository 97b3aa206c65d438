//! Sizes of images, parts of images, and the distortion of lenses.

mod distortion;
mod region;
mod resampling;
mod size;

pub use distortion::Distortion;
pub(crate) use distortion::Undistortion;
pub use region::Region;
pub(crate) use region::center_margin;
pub(crate) use resampling::{resampled, resampled_whole};
pub use size::FrameSize;
