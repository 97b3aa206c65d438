//! Parts of images.

use serde::{Deserialize, Serialize};

use super::FrameSize;

/// The part of its source image that a frame shows, as fractions of the source's width and height.
///
/// The source is the photo, or the resized photo before frames of different sizes were cropped to a
/// common size. It must be the same image in all results of a session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Distance from the source's left edge, 0 to 1.
    pub left: f64,
    /// Distance from the source's top edge, 0 to 1.
    pub top: f64,
    /// Share of the source's width, above 0, at most 1.
    pub width: f64,
    /// Share of the source's height, above 0, at most 1.
    pub height: f64,
}

impl Region {
    /// The whole source: the frame was not cropped.
    pub const WHOLE: Region = Region {
        left: 0.0,
        top: 0.0,
        width: 1.0,
        height: 1.0,
    };

    /// The region that [`center_crop`](crate::image::center_crop) keeps. No side may be 0.
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

    /// The region of the source that a region of this region shows.
    #[must_use]
    pub fn of_part(self, part: Region) -> Region {
        Region {
            left: self.left + part.left * self.width,
            top: self.top + part.top * self.height,
            width: self.width * part.width,
            height: self.height * part.height,
        }
    }

    /// Maps a pixel index (u, v) of a frame of size `size` to fractions of the source image.
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

/// Pixels that [`center_crop`](crate::image::center_crop) removes at the left (top) of a side: half
/// of the difference, rounded to the nearest integer, ties to even.
pub fn center_margin(side: u32, wanted: u32) -> u32 {
    (f64::from(side.saturating_sub(wanted)) / 2.0).round_ties_even() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_pixel_inverts_to_source() {
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
