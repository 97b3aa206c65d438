//! The size of an image.

use ::image::RgbImage;
use serde::{Deserialize, Serialize};

/// Width and height of an image in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameSize {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl FrameSize {
    /// A size of `width` x `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The size of an image.
    pub fn of(image: &RgbImage) -> Self {
        Self::new(image.width(), image.height())
    }

    /// The size with both sides multiplied by `scale`, rounded down.
    pub fn scaled(self, scale: f64) -> Self {
        let side = |side: u32| (f64::from(side) * scale) as u32;
        Self::new(side(self.width), side(self.height))
    }

    /// The smaller width and the smaller height of two sizes.
    pub fn min(self, other: Self) -> Self {
        Self::new(self.width.min(other.width), self.height.min(other.height))
    }
}
