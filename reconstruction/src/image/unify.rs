//! One size for all frames of a reconstruction.

use ::image::{RgbImage, imageops};

/// The smallest width and the smallest height among `sizes`, each (width, height) in pixels.
///
/// `None` if there is no size.
pub fn common_size(sizes: impl IntoIterator<Item = (u32, u32)>) -> Option<(u32, u32)> {
    sizes
        .into_iter()
        .reduce(|(width, height), (w, h)| (width.min(w), height.min(h)))
}

/// Pixels that [`center_crop`] cuts off before the middle of a side.
pub fn center_margin(side: u32, wanted: u32) -> u32 {
    half_to_even(side.saturating_sub(wanted))
}

/// The middle of `image`, `width` x `height` pixels, or all of it in a direction in which it has
/// fewer.
///
/// If the margins cannot be equal, the pixel to spare goes where torchvision's `CenterCrop` puts
/// it: the left (top) margin is half of the difference, rounded to an even number.
pub fn center_crop(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let width = width.min(image.width());
    let height = height.min(image.height());
    if (width, height) == image.dimensions() {
        return image.clone();
    }
    let left = center_margin(image.width(), width);
    let top = center_margin(image.height(), height);
    imageops::crop_imm(image, left, top, width, height).to_image()
}

fn half_to_even(difference: u32) -> u32 {
    (f64::from(difference) / 2.0).round_ties_even() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_of_each_direction() {
        let sizes = [(504, 378), (378, 504), (504, 336)];
        assert_eq!(common_size(sizes), Some((378, 336)));
        assert_eq!(common_size([]), None);
    }

    #[test]
    fn uneven_margins_round_to_even() {
        let ramp = RgbImage::from_fn(20, 20, |x, y| ::image::Rgb([x as u8, y as u8, 0]));
        // Margins of 0.5, 1, 1.5, 2 and 2.5 pixels become 0, 1, 2, 2 and 2.
        for (width, left) in [(19, 0), (18, 1), (17, 2), (16, 2), (15, 2)] {
            let cropped = center_crop(&ramp, width, 20);
            assert_eq!(cropped.dimensions(), (width, 20));
            assert_eq!(cropped.get_pixel(0, 3).0, [left, 3, 0]);
            let cropped = center_crop(&ramp, 20, width);
            assert_eq!(cropped.get_pixel(3, 0).0, [3, left, 0]);
        }
        assert_eq!(center_crop(&ramp, 30, 30), ramp);
    }
}
