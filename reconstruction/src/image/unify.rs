//! Crops all frames of a reconstruction to one size.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use ::image::{RgbImage, imageops};

use crate::geometry::{FrameSize, center_margin};

/// Share of its pixels that every frame keeps.
const LEAST_SHARE: f64 = 0.5;
/// Share that frames keep whose longer side is more than twice their shorter one. A mix of portrait
/// and landscape needs it: phones have screens of 20:9, and 4:9 of such a frame are left.
const LEAST_SHARE_OF_LONG_FRAMES: f64 = 0.4;

/// Different sizes of frames whose sides are tried. The work grows with the square of their number,
/// and clients choose it.
const MOST_SIZES: usize = 64;

/// The size that the frames of a reconstruction are cropped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonSize {
    pub size: FrameSize,
    /// Whether each frame is cropped to this size, in the order of the frames. The others are set
    /// aside: they have too odd a shape.
    pub fits: Vec<bool>,
}

impl CommonSize {
    /// Chooses the size, or `None` without frames.
    ///
    /// It is the smallest width and the smallest height of all frames, unless a frame would lose
    /// more than about half of its pixels, as all photos would beside one panorama. Then it is the
    /// size that suits the most frames; of equal ones, the size that leaves them the largest shares
    /// of their pixels. Frames that are smaller, or would lose too many pixels, are set aside. For
    /// the others, the size is the same as without them. Of very many different sizes, the most
    /// common ones decide.
    pub fn choose(frames: &[FrameSize]) -> Option<Self> {
        let smallest = frames.iter().copied().reduce(FrameSize::min)?;
        let whole = Self::of(smallest, frames);
        if whole.fits.iter().all(|fits| *fits) {
            return Some(whole);
        }
        let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        for frame in frames {
            *counts.entry((frame.width, frame.height)).or_default() += 1;
        }
        let mut common: Vec<_> = counts.iter().collect();
        common.sort_by_key(|&(_, count)| Reverse(*count));
        let common = || common.iter().take(MOST_SIZES).map(|&(size, _)| *size);
        let widths: BTreeSet<u32> = common().map(|(width, _)| width).collect();
        let heights: BTreeSet<u32> = common().map(|(_, height)| height).collect();
        let rank = |size: FrameSize| {
            let (mut kept, mut shares) = (0, 0.0);
            for (&frame, &count) in &counts {
                let frame = FrameSize::from(frame);
                if is_croppable(frame, size) {
                    kept += count;
                    shares += count as f64 * share(frame, size);
                }
            }
            (kept, shares, size.pixels(), size.width)
        };
        let sizes = widths
            .iter()
            .flat_map(|&width| heights.iter().map(move |&height| (width, height)))
            .map(FrameSize::from);
        let (_, best) = sizes
            .map(|size| (rank(size), size))
            .max_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(Ordering::Equal))?;
        Some(Self::of(best, frames))
    }

    fn of(size: FrameSize, frames: &[FrameSize]) -> Self {
        let fits = frames.iter().map(|frame| is_croppable(*frame, size));
        Self {
            size,
            fits: fits.collect(),
        }
    }
}

/// Whether a frame covers `size`, and keeps enough of its pixels when it is cropped to it.
pub fn is_croppable(frame: FrameSize, size: FrameSize) -> bool {
    let (short, long) = (frame.width.min(frame.height), frame.width.max(frame.height));
    let least = f64::from(short) / f64::from(long.max(1));
    frame.min(size) == size
        && share(frame, size) >= least.clamp(LEAST_SHARE_OF_LONG_FRAMES, LEAST_SHARE)
}

/// Share of a frame's pixels that a crop to `size` keeps.
fn share(frame: FrameSize, size: FrameSize) -> f64 {
    size.pixels() as f64 / frame.pixels().max(1) as f64
}

/// The middle of `image` with the size `size`. A side that is smaller already stays.
///
/// The left (top) margin is half of the difference, rounded to the nearest integer, ties to even,
/// as in torchvision's `CenterCrop`.
pub fn center_crop(image: &RgbImage, size: FrameSize) -> RgbImage {
    let whole = FrameSize::of(image);
    let (left, top, size) = centre(whole, size);
    if size == whole {
        return image.clone();
    }
    imageops::crop_imm(image, left, top, size.width, size.height).to_image()
}

/// The left and the top margin, and the size, of the middle of an image.
pub(super) fn centre(whole: FrameSize, size: FrameSize) -> (u32, u32, FrameSize) {
    let size = size.min(whole);
    let left = center_margin(whole.width, size.width);
    let top = center_margin(whole.height, size.height);
    (left, top, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(frames: &[(u32, u32)]) -> ((u32, u32), Vec<usize>) {
        let frames: Vec<_> = frames.iter().copied().map(FrameSize::from).collect();
        let CommonSize { size, fits } = CommonSize::choose(&frames).expect("there are frames");
        let aside = (0..frames.len()).filter(|&frame| !fits[frame]).collect();
        // Without the frames that are set aside, the size is the same.
        let kept = frames.iter().zip(&fits).filter(|(_, fits)| **fits);
        let kept: Vec<_> = kept.map(|(frame, _)| *frame).collect();
        let again = CommonSize::choose(&kept).expect("a frame is left");
        assert_eq!((again.size, again.fits), (size, vec![true; kept.len()]));
        ((size.width, size.height), aside)
    }

    #[test]
    fn usual_shapes_are_cropped_to_the_smallest_width_and_height() {
        for (frames, size) in [
            (&[(504, 378)][..], (504, 378)),
            (&[(504, 378); 5], (504, 378)),
            (&[(504, 378), (378, 504), (504, 336)], (378, 336)),
            // One portrait photo among many landscape ones.
            (
                &[(504, 378), (504, 378), (504, 378), (378, 504)],
                (378, 378),
            ),
            // 16:9 and 20:9 in both orientations.
            (&[(504, 280), (280, 504)], (280, 280)),
            (&[(504, 224), (224, 504), (504, 224)], (224, 224)),
            (&[(504, 28)], (504, 28)),
        ] {
            assert_eq!(chosen(frames), (size, vec![]), "{frames:?}");
        }
        assert_eq!(CommonSize::choose(&[]), None);
    }

    #[test]
    fn odd_shapes_are_set_aside() {
        let photo = (504, 378);
        for (frames, size, aside) in [
            // Banners of 20:1 and 1:20, and a panorama of 5:1.
            (&[photo, photo, (504, 28), photo][..], photo, vec![2]),
            (&[(504, 98), photo, photo, photo], photo, vec![0]),
            (&[photo, (28, 504), (504, 28)], photo, vec![1, 2]),
            // Two frames: the one with more pixels stays.
            (&[(504, 28), photo], photo, vec![0]),
            // The mix of orientations stays beside a banner.
            (&[photo, (378, 504), (504, 28)], (378, 378), vec![2]),
            (
                &[(504, 280), (504, 280), (280, 504), (504, 28)],
                (280, 280),
                vec![3],
            ),
            // Among panoramas the photo is odd.
            (&[photo, (504, 98), (504, 98)], (504, 98), vec![0]),
            // At a lower bound the banner covers the photos, but would lose nearly all of itself.
            (&[(672, 504), (672, 504), (10080, 504)], (672, 504), vec![2]),
        ] {
            assert_eq!(chosen(frames), (size, aside), "{frames:?}");
        }
    }

    #[test]
    fn a_thousand_different_shapes_get_a_size() {
        // Photos among banners that are all different.
        let banners = (0..1000).map(|index| FrameSize::new(1008, 28 + index / 4));
        let photos = [FrameSize::new(1008, 756); 3];
        let frames: Vec<_> = photos.into_iter().chain(banners).collect();
        let CommonSize { size, fits } = CommonSize::choose(&frames).expect("there are frames");
        let kept = frames.iter().zip(&fits).filter(|(_, fits)| **fits);
        let mut kept = kept.map(|(frame, _)| *frame);
        assert!(kept.all(|frame| share(frame, size) >= LEAST_SHARE_OF_LONG_FRAMES));
        assert!(fits.iter().filter(|fits| **fits).count() > 250, "{size}");
    }

    #[test]
    fn the_order_of_the_frames_does_not_change_the_size() {
        let mut frames = [(504, 378), (504, 98), (378, 504), (504, 28), (504, 336)];
        let (size, _) = chosen(&frames);
        for _ in 0..frames.len() {
            frames.rotate_left(1);
            assert_eq!(chosen(&frames).0, size);
        }
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
