//! Resamples 8-bit RGB with the two filters of OpenCV's `resize` that preprocessing uses.

mod area;
mod cubic;

use std::ops::Range;

use ::image::{GrayImage, RgbImage};

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

/// The nearest integer between 0 and 255; of two the even one. Without a call for each sample, as
/// `round_ties_even` is where the processor is not known to round.
#[inline]
fn rounded(value: f32) -> u8 {
    /// So large that a sum with it has no bits for fractions; its own last byte is 0.
    const SHIFT: f32 = 12_582_912.0;
    (value.clamp(0.0, 255.0) + SHIFT).to_bits() as u8
}

/// The pixels of the resized image that are mixed from a pixel which is not 0, among others. They have
/// the largest value, the others 0.
pub(super) fn touched(
    mask: &GrayImage,
    size: FrameSize,
    interpolation: Interpolation,
) -> GrayImage {
    let source = FrameSize::from(mask.dimensions());
    let mixed = |source, target| match interpolation {
        Interpolation::Area => area::mixed(source, target),
        Interpolation::Cubic => cubic::mixed(source, target),
    };
    let columns = mixed(source.width, size.width);
    let rows = mixed(source.height, size.height);
    let stride = source.columns();
    let mut result = GrayImage::new(size.width, size.height);
    let mut column = vec![0; stride];
    for (target, rows) in result.chunks_exact_mut(size.columns()).zip(rows) {
        column.fill(0);
        for row in mask.as_raw()[rows.start * stride..rows.end * stride].chunks_exact(stride) {
            for (sum, pixel) in column.iter_mut().zip(row) {
                *sum |= pixel;
            }
        }
        for (target, columns) in target.iter_mut().zip(&columns) {
            let is_touched = column[Range::clone(columns)]
                .iter()
                .any(|pixel| *pixel != 0);
            *target = if is_touched { u8::MAX } else { 0 };
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{Luma, Rgb};

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
    /// A pixel is touched exactly if another colour of the hidden ones changes it, rounding aside.
    #[test]
    fn touched_pixels_are_those_that_change() {
        let (from, holes) = (FrameSize::new(40, 30), [(0, 0), (13, 9), (14, 9), (39, 21)]);
        let mut mask = GrayImage::new(from.width, from.height);
        let plain = RgbImage::from_pixel(from.width, from.height, Rgb([100; 3]));
        let mut changed = plain.clone();
        for (x, y) in holes {
            mask.put_pixel(x, y, Luma([255]));
            changed.put_pixel(x, y, Rgb([255; 3]));
        }
        for (width, height, interpolation) in [
            (40, 30, Interpolation::Area),
            (20, 15, Interpolation::Area),
            (17, 30, Interpolation::Area),
            (28, 14, Interpolation::Area),
            (40, 30, Interpolation::Cubic),
            (80, 60, Interpolation::Cubic),
            (56, 42, Interpolation::Cubic),
            (56, 14, Interpolation::Cubic),
        ] {
            let size = FrameSize::new(width, height);
            let [before, after] =
                [&plain, &changed].map(|image| resize(image, size, interpolation));
            let touched = touched(&mask, size, interpolation);
            assert_eq!(touched.dimensions(), (width, height));
            let mut changes = 0;
            for ((before, after), touched) in before.pixels().zip(after.pixels()).zip(&*touched) {
                assert!(before == after || *touched != 0, "{size} {interpolation:?}");
                changes += usize::from(before != after);
            }
            let touched = touched.iter().filter(|pixel| **pixel != 0).count();
            // A few weights are too small to change a rounded value.
            assert!(
                changes > 0 && touched < 2 * changes + 16,
                "{touched}, {changes} change"
            );
        }
    }

    #[test]
    fn values_are_rounded_to_the_nearest_sample() {
        for value in (-3000..3000).map(|step| step as f32 / 8.0) {
            assert_eq!(rounded(value), value.round_ties_even() as u8, "{value}");
            assert_eq!(
                rounded(value.next_up()),
                value.next_up().round_ties_even() as u8
            );
            assert_eq!(
                rounded(value.next_down()),
                value.next_down().round_ties_even() as u8
            );
        }
        assert_eq!([f32::MAX, f32::MIN].map(rounded), [255, 0]);
    }
}
