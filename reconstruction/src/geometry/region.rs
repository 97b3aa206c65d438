//! The part of an image that another image shows.

use serde::{Deserialize, Serialize};

use super::FrameSize;

/// Which part of its source image a frame's image shows, as fractions of the source's width and
/// height. Any source will do that is the same whenever a session reconstructs the frame: the
/// photo, or the photo resized, before frames of different sizes were cropped to a common one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Region {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Region {
    /// The frame was resized at most, not cropped.
    pub const WHOLE: Region = Region {
        left: 0.0,
        top: 0.0,
        width: 1.0,
        height: 1.0,
    };

    /// What [`center_crop`](crate::image::center_crop) keeps of an image. No side may be 0.
    pub fn of_center_crop(image: FrameSize, cropped: FrameSize) -> Region {
        let part = |side: u32, wanted: u32| {
            let kept = wanted.min(side);
            let start = center_margin(side, kept);
            (
                f64::from(start) / f64::from(side),
                f64::from(kept) / f64::from(side),
            )
        };
        let (left, width) = part(image.width, cropped.width);
        let (top, height) = part(image.height, cropped.height);
        Region {
            left,
            top,
            width,
            height,
        }
    }

    /// From a processed image's pixel index (u, v) to a fraction of the source image.
    pub(crate) fn to_source(self, (u, v): (f64, f64), size: FrameSize) -> (f64, f64) {
        (
            self.left + (u + 0.5) / f64::from(size.width) * self.width,
            self.top + (v + 0.5) / f64::from(size.height) * self.height,
        )
    }

    /// Inverse of [`Region::to_source`].
    pub(crate) fn to_pixel(self, (x, y): (f64, f64), size: FrameSize) -> (f64, f64) {
        (
            (x - self.left) / self.width * f64::from(size.width) - 0.5,
            (y - self.top) / self.height * f64::from(size.height) - 0.5,
        )
    }
}

/// Pixels that [`center_crop`](crate::image::center_crop) cuts off before the middle of a side:
/// half of the difference, rounded to an even number.
pub fn center_margin(side: u32, wanted: u32) -> u32 {
    (f64::from(side.saturating_sub(wanted)) / 2.0).round_ties_even() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_map_there_and_back() {
        let region = Region {
            left: 0.125,
            top: 0.0,
            width: 0.75,
            height: 1.0,
        };
        let (x, y) = region.to_source((-0.5, 99.5), FrameSize::new(300, 100));
        assert!((x - 0.125).abs() < 1e-12 && (y - 1.0).abs() < 1e-12);
        let (u, v) = region.to_pixel((x, y), FrameSize::new(150, 50));
        assert!((u + 0.5).abs() < 1e-12 && (v - 49.5).abs() < 1e-12);
    }
}
