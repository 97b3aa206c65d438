//! The size of an image.

use std::fmt;

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
        image.dimensions().into()
    }

    /// Number of columns, for indices.
    pub const fn columns(self) -> usize {
        self.width as usize
    }

    /// Number of rows, for indices.
    pub const fn rows(self) -> usize {
        self.height as usize
    }

    /// Width times height.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Whether a side is 0.
    pub const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// Applies a function to both sides.
    pub fn map(self, side: impl Fn(u32) -> u32) -> Self {
        Self::new(side(self.width), side(self.height))
    }

    /// The size with both sides multiplied by `scale`, rounded down.
    pub fn scaled(self, scale: f64) -> Self {
        self.map(|side| (f64::from(side) * scale) as u32)
    }

    /// The smaller width and the smaller height of two sizes.
    pub fn min(self, other: Self) -> Self {
        Self::new(self.width.min(other.width), self.height.min(other.height))
    }
}

/// From (width, height), as the crate `image` gives dimensions.
impl From<(u32, u32)> for FrameSize {
    fn from((width, height): (u32, u32)) -> Self {
        Self::new(width, height)
    }
}

/// `WIDTHxHEIGHT`, for messages.
impl fmt::Display for FrameSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_sizes_do_not_overflow() {
        let size = FrameSize::new(u32::MAX, u32::MAX);
        assert_eq!(size.pixels(), 18_446_744_065_119_617_025);
        assert_eq!(size.to_string(), "4294967295x4294967295");
    }
}
