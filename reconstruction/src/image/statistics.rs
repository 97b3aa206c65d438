//! What the pixels of a prepared image tell about its use for a reconstruction.

use ::image::RgbImage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::geometry::FrameSize;

/// Mean luminance, of 255, below which an image is too dark: a photo taken with the lens covered or
/// without light. Photos of the night with street lamps are above it.
const DARKEST: f32 = 12.0;
/// Sharpness below which an image is blurred, or has no detail at all.
const LEAST_SHARPNESS: f32 = 2.0;
/// Share of the median sharpness of the other images below which an image is blurred.
const LEAST_RELATIVE_SHARPNESS: f32 = 0.1;

/// Statistics of the pixels of a prepared image. Cheap: one pass over the pixels, and one over the
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImageStatistics {
    /// Mean luminance, 0 to 255.
    pub luminance: f32,
    /// Variance of the Laplacian of the luminance. Blur lowers it; photos of daily scenes have
    /// hundreds to thousands.
    pub sharpness: f32,
    /// Identifies the pixels.
    pub content: ContentHash,
}

/// SHA-256 of the size and the pixels of a prepared image, cut to 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentHash([u8; 16]);

impl ImageStatistics {
    /// The statistics of an image.
    pub fn of(image: &RgbImage) -> Self {
        let luminance = luminance(image);
        let mean = luminance.iter().map(|value| f64::from(*value)).sum::<f64>()
            / luminance.len().max(1) as f64;
        Self {
            luminance: mean as f32,
            sharpness: laplacian_variance(&luminance, FrameSize::of(image)) as f32,
            content: ContentHash::of(image),
        }
    }

    /// Whether there is too little light to see anything.
    pub fn is_too_dark(&self) -> bool {
        self.luminance < DARKEST
    }

    /// Whether the image is clearly blurred. `others` is the median sharpness of the other images of
    /// the reconstruction, if there are any.
    pub fn is_blurred(&self, others: Option<f32>) -> bool {
        self.sharpness < LEAST_SHARPNESS
            || others.is_some_and(|others| self.sharpness < LEAST_RELATIVE_SHARPNESS * others)
    }
}

impl ContentHash {
    fn of(image: &RgbImage) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(image.width().to_le_bytes());
        hasher.update(image.height().to_le_bytes());
        hasher.update(image.as_raw());
        let digest = hasher.finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }
}

/// Luminance (ITU-R BT.601) of each pixel, 0 to 255.
fn luminance(image: &RgbImage) -> Vec<f32> {
    let pixels: &[[u8; 3]] = image.as_raw().as_chunks().0;
    pixels
        .iter()
        .map(|&[red, green, blue]| {
            0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
        })
        .collect()
}

/// The sharpness of a grey picture, as that of [`ImageStatistics`]; 0 if the pixels are not of this size.
pub fn sharpness_of_grey(pixels: &[u8], size: FrameSize) -> f32 {
    if pixels.len() != size.columns() * size.rows() {
        return 0.0;
    }
    let luminance: Vec<_> = pixels.iter().copied().map(f32::from).collect();
    laplacian_variance(&luminance, size) as f32
}

/// Variance of `4 c - left - right - above - below` over the inner pixels; 0 without any.
fn laplacian_variance(luminance: &[f32], size: FrameSize) -> f64 {
    let width = size.columns();
    if size.width < 3 || size.height < 3 {
        return 0.0;
    }
    let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
    for y in 1..size.rows() - 1 {
        let above = &luminance[(y - 1) * width..y * width];
        let middle = &luminance[y * width..(y + 1) * width];
        let below = &luminance[(y + 1) * width..(y + 2) * width];
        let inner = middle.windows(3).zip(&above[1..]).zip(&below[1..]);
        for ((row, above), below) in inner {
            let value = f64::from(4.0 * row[1] - row[0] - row[2] - above - below);
            sum += value;
            squares += value * value;
        }
    }
    let count = ((size.columns() - 2) * (size.rows() - 2)) as f64;
    let mean = sum / count;
    (squares / count - mean * mean).max(0.0)
}

#[cfg(test)]
mod tests {
    use ::image::{Rgb, imageops};

    use super::*;

    /// Noise in squares of `cell` pixels, around a mean of 128.
    fn texture(cell: u32) -> RgbImage {
        RgbImage::from_fn(60, 40, |x, y| {
            let mut state = (x / cell) * 7919 + (y / cell) * 104_729 + 1;
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgb([(64 + (state >> 25)) as u8; 3])
        })
    }

    fn filled(value: u8) -> RgbImage {
        RgbImage::from_pixel(60, 40, Rgb([value; 3]))
    }

    #[test]
    fn a_grey_picture_is_as_sharp_as_the_same_in_colours() {
        let image = texture(3);
        let grey: Vec<_> = image.pixels().map(|pixel| pixel[0]).collect();
        let found = sharpness_of_grey(&grey, FrameSize::of(&image));
        let expected = ImageStatistics::of(&image).sharpness;
        assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
        let cut = &grey[1..];
        assert_eq!(sharpness_of_grey(cut, FrameSize::of(&image)), 0.0);
    }

    #[test]
    fn luminance_weighs_the_channels() {
        let colour = |rgb| ImageStatistics::of(&RgbImage::from_pixel(5, 5, Rgb(rgb))).luminance;
        assert!((colour([255; 3]) - 255.0).abs() < 1e-3);
        assert!((colour([100, 0, 0]) - 29.9).abs() < 1e-3);
        assert!((colour([0, 100, 0]) - 58.7).abs() < 1e-3);
        assert!((colour([0, 0, 100]) - 11.4).abs() < 1e-3);
    }

    #[test]
    fn sharpness_is_the_variance_of_the_laplacian() {
        // One bright pixel: 4 v once, -v four times, 0 elsewhere.
        let mut image = RgbImage::new(12, 12);
        image.put_pixel(5, 5, Rgb([10; 3]));
        let found = ImageStatistics::of(&image).sharpness;
        assert!((found - 20.0 * 100.0 / 100.0).abs() < 1e-3, "{found}");
        // A ramp has no second derivative.
        let ramp = RgbImage::from_fn(12, 12, |x, y| Rgb([(9 * x + 3 * y) as u8; 3]));
        assert!(ImageStatistics::of(&ramp).sharpness < 1e-3);
        assert_eq!(ImageStatistics::of(&RgbImage::new(2, 50)).sharpness, 0.0);
    }

    #[test]
    fn blurred_images_are_found_alone_and_among_others() {
        let sharp = ImageStatistics::of(&texture(2));
        let blurred = ImageStatistics::of(&imageops::blur(&texture(2), 2.0));
        let flat = ImageStatistics::of(&filled(128));
        assert!(!sharp.is_blurred(None) && !sharp.is_blurred(Some(sharp.sharpness)));
        assert!(
            blurred.is_blurred(Some(sharp.sharpness)),
            "{blurred:?} {sharp:?}"
        );
        assert!(!sharp.is_blurred(Some(blurred.sharpness)));
        assert!(flat.is_blurred(None));
    }

    #[test]
    fn dark_images_are_found() {
        assert!(ImageStatistics::of(&filled(0)).is_too_dark());
        assert!(ImageStatistics::of(&filled(8)).is_too_dark());
        assert!(!ImageStatistics::of(&filled(30)).is_too_dark());
    }

    #[test]
    fn only_the_same_pixels_of_the_same_size_have_the_same_hash() {
        let of = |image: &RgbImage| ImageStatistics::of(image).content;
        let image = texture(3);
        assert_eq!(of(&image), of(&image.clone()));
        let mut other = image.clone();
        other.put_pixel(59, 39, Rgb([0, 1, 2]));
        assert_ne!(of(&image), of(&other));
        // The same bytes as rows of another length.
        assert_ne!(of(&RgbImage::new(4, 9)), of(&RgbImage::new(9, 4)));
    }
}
