//! Crops all frames of a reconstruction to one size.

use ::image::{RgbImage, imageops};

use crate::geometry::{FrameSize, center_margin};

/// The smallest width and the smallest height among `sizes`, or `None` without sizes.
pub fn common_size(sizes: impl IntoIterator<Item = FrameSize>) -> Option<FrameSize> {
    sizes.into_iter().reduce(FrameSize::min)
}

/// The middle of `image` with the size `size`. A side that is smaller already stays.
///
/// The left (top) margin is half of the difference, rounded to the nearest integer, ties to even,
/// as in torchvision's `CenterCrop`.
pub fn center_crop(image: &RgbImage, size: FrameSize) -> RgbImage {
    let whole = FrameSize::of(image);
    let size = size.min(whole);
    if size == whole {
        return image.clone();
    }
    let left = center_margin(whole.width, size.width);
    let top = center_margin(whole.height, size.height);
    imageops::crop_imm(image, left, top, size.width, size.height).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_size_is_the_smallest_width_and_height() {
        let sizes = [(504, 378), (378, 504), (504, 336)].map(|(w, h)| FrameSize::new(w, h));
        assert_eq!(common_size(sizes), Some(FrameSize::new(378, 336)));
        assert_eq!(common_size([]), None);
    }

    #[test]
    fn half_pixel_margins_round_to_even() {
        let ramp = RgbImage::from_fn(20, 20, |x, y| ::image::Rgb([x as u8, y as u8, 0]));
        // Margins of 0.5, 1, 1.5, 2 and 2.5 pixels become 0, 1, 2, 2 and 2.
        for (width, left) in [(19, 0), (18, 1), (17, 2), (16, 2), (15, 2)] {
            let cropped = center_crop(&ramp, FrameSize::new(width, 20));
            assert_eq!(cropped.dimensions(), (width, 20));
            assert_eq!(cropped.get_pixel(0, 3).0, [left, 3, 0]);
            let cropped = center_crop(&ramp, FrameSize::new(20, width));
            assert_eq!(cropped.get_pixel(3, 0).0, [3, left, 0]);
        }
        assert_eq!(center_crop(&ramp, FrameSize::new(30, 30)), ramp);
    }
}
