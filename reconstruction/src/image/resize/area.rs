//! Shrinks by the mean over the area that each target pixel covers.

use std::ops::Range;

use ::image::RgbImage;

use super::rounded;
use crate::geometry::FrameSize;

/// See [`Interpolation::Area`](super::Interpolation::Area).
pub(super) fn resize(image: &RgbImage, size: FrameSize) -> RgbImage {
    let source = FrameSize::of(image);
    let columns = cover(source.width, size.width);
    let rows = cover(source.height, size.height);
    let stride = source.columns() * 3;
    let samples = image.as_raw();
    let round: fn(f32) -> u8 = if source == size.map(|side| side.saturating_mul(2)) {
        // OpenCV has a path of its own for this case, which rounds halves up.
        |value| (value + 0.5) as u8
    } else {
        rounded
    };

    let mut resized = RgbImage::new(size.width, size.height);
    // Sums over columns first: they run over contiguous memory.
    let mut sums = vec![0.0f32; stride];
    for (target_row, covered) in resized.chunks_exact_mut(size.columns() * 3).zip(&rows) {
        sums.fill(0.0);
        for (row, weight) in covered.samples() {
            let source = &samples[row * stride..(row + 1) * stride];
            for (sum, &sample) in sums.iter_mut().zip(source) {
                *sum += weight * f32::from(sample);
            }
        }
        for (target, covered) in target_row.chunks_exact_mut(3).zip(&columns) {
            let mut mean = [0.0f32; 3];
            for (column, weight) in covered.samples() {
                let sums = &sums[column * 3..column * 3 + 3];
                for (mean, sum) in mean.iter_mut().zip(sums) {
                    *mean += weight * sum;
                }
            }
            for (target, mean) in target.iter_mut().zip(mean) {
                *target = round(mean);
            }
        }
    }
    resized
}

/// The source samples that each target sample is mixed from, in one dimension.
pub(super) fn mixed(source: u32, target: u32) -> Vec<Range<usize>> {
    let covers = cover(source, target).into_iter();
    let ranges = covers.map(|covered| covered.first..covered.first + covered.weights.len());
    ranges.collect()
}

/// The consecutive source samples that one target sample covers, in one dimension.
struct Covered {
    first: usize,
    /// One per source sample; they add up to 1.
    weights: Vec<f32>,
}

impl Covered {
    fn samples(&self) -> impl Iterator<Item = (usize, f32)> {
        (self.first..).zip(self.weights.iter().copied())
    }
}

/// Which of `source` samples each of `target` samples covers.
fn cover(source: u32, target: u32) -> Vec<Covered> {
    // A smaller overlap is ignored, as in OpenCV.
    const MIN_OVERLAP: f64 = 1e-3;
    let scale = f64::from(source) / f64::from(target);
    (0..target)
        .map(|index| {
            let begin = f64::from(index) * scale;
            let end = (begin + scale).min(f64::from(source));
            let first = (begin + MIN_OVERLAP).floor();
            let last = (end - MIN_OVERLAP).ceil().max(first + 1.0);
            let overlap = |sample: f64| (sample + 1.0).min(end) - sample.max(begin);
            Covered {
                first: first as usize,
                weights: (first as u32..last as u32)
                    .map(|sample| (overlap(f64::from(sample)) / (end - begin)) as f32)
                    .collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_stay_inside_and_add_up_to_one() {
        for (source, target) in [
            (4032, 504),
            (3024, 378),
            (505, 504),
            (7, 3),
            (65535, 1),
            (9, 9),
        ] {
            let covers = cover(source, target);
            assert_eq!(covers.len(), target as usize);
            for covered in &covers {
                assert!(covered.first + covered.weights.len() <= source as usize);
                let total: f32 = covered.weights.iter().sum();
                assert!((total - 1.0).abs() < 1e-2, "{source} to {target}: {total}");
                assert!(covered.weights.iter().all(|&weight| weight > 0.0));
            }
        }
    }
}
