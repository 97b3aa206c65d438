//! Resamples 8-bit RGB with the two filters of OpenCV's `resize` that preprocessing uses.

mod area;
mod cubic;

use ::image::RgbImage;

use crate::geometry::FrameSize;

/// How target samples are computed from source samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interpolation {
    /// Mean over the area that a target pixel covers, like OpenCV's `INTER_AREA`. No side may grow.
    Area,
    /// Cubic convolution, like OpenCV's `INTER_CUBIC`. It does not smooth, so shrinking aliases.
    Cubic,
}

/// Resizes `image` to `size`. No side may be 0.
///
/// The result is OpenCV's, but a few samples differ by one grey level because of rounding.
pub(super) fn resize(image: &RgbImage, size: FrameSize, interpolation: Interpolation) -> RgbImage {
    match interpolation {
        Interpolation::Area => area::resize(image, size),
        Interpolation::Cubic => cubic::resize(image, size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::Rgb;

    #[test]
    fn a_constant_stays_constant() {
        let image = RgbImage::from_pixel(37, 23, Rgb([7, 128, 255]));
        for (width, height, interpolation) in [
            (14, 14, Interpolation::Area),
            (37, 1, Interpolation::Area),
            (1, 23, Interpolation::Area),
            (42, 28, Interpolation::Cubic),
            (500, 11, Interpolation::Cubic),
        ] {
            let resized = resize(&image, FrameSize::new(width, height), interpolation);
            assert_eq!(resized.dimensions(), (width, height));
            assert!(resized.pixels().all(|pixel| pixel.0 == [7, 128, 255]));
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let image = RgbImage::from_fn(9, 7, |x, y| Rgb([(x * 28) as u8, (y * 36) as u8, 99]));
        for interpolation in [Interpolation::Area, Interpolation::Cubic] {
            assert_eq!(resize(&image, FrameSize::of(&image), interpolation), image);
        }
    }

    #[test]
    fn a_single_pixel_can_grow() {
        let image = RgbImage::from_pixel(1, 1, Rgb([1, 2, 3]));
        let resized = resize(&image, FrameSize::new(5, 4), Interpolation::Cubic);
        assert!(resized.pixels().all(|pixel| pixel.0 == [1, 2, 3]));
    }
}
