//! Enlarges by cubic convolution.
//!
//! R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions
//! on Acoustics, Speech, and Signal Processing 29(6), 1981, with OpenCV's parameter a = -0.75
//! (Keys proposes -0.5).

use std::ops::Range;

use ::image::RgbImage;

use super::rounded;
use crate::geometry::FrameSize;

/// Number of source samples for one target sample, in each dimension.
const TAPS: usize = 4;

/// See [`Interpolation::Cubic`](super::Interpolation::Cubic).
pub(super) fn resize(image: &RgbImage, size: FrameSize) -> RgbImage {
    let source = FrameSize::of(image);
    let columns = neighbourhoods(source.width, size.width);
    let rows = neighbourhoods(source.height, size.height);
    let stride = source.columns() * 3;
    let source_row = |row: usize| &image.as_raw()[row * stride..(row + 1) * stride];

    let mut resized = RgbImage::new(size.width, size.height);
    // The source rows in use, interpolated along x; row r is kept in slot r modulo 4.
    let mut slots = [const { Vec::<f32>::new() }; TAPS];
    let mut kept = [usize::MAX; TAPS];
    for (target_row, vertical) in resized.chunks_exact_mut(size.columns() * 3).zip(&rows) {
        for row in vertical.samples {
            let slot = row % TAPS;
            if kept[slot] != row {
                interpolate_row(source_row(row), &columns, &mut slots[slot]);
                kept[slot] = row;
            }
        }
        let [a, b, c, d] = vertical.samples.map(|row| &slots[row % TAPS]);
        let [wa, wb, wc, wd] = vertical.weights;
        let sources = a.iter().zip(b).zip(c.iter().zip(d));
        for (target, ((a, b), (c, d))) in target_row.iter_mut().zip(sources) {
            *target = rounded(wa * a + wb * b + wc * c + wd * d);
        }
    }
    resized
}

/// The source samples that each target sample is mixed from, in one dimension.
pub(super) fn mixed(source: u32, target: u32) -> Vec<Range<usize>> {
    let around = neighbourhoods(source, target).into_iter();
    let ranges = around.map(|around| {
        let weighed = around.samples.into_iter().zip(around.weights);
        let mut samples = weighed
            .filter(|(_, weight)| *weight != 0.0)
            .map(|(sample, _)| sample);
        // They ascend, and their weights add up to 1.
        let first = samples.next().unwrap_or(around.samples[1]);
        first..samples.next_back().unwrap_or(first) + 1
    });
    ranges.collect()
}

/// The source samples around one target sample, in one dimension, and their weights.
struct Neighbourhood {
    samples: [usize; TAPS],
    weights: [f32; TAPS],
}

/// The neighbourhood of each of `target` samples among `source` samples. The border repeats.
fn neighbourhoods(source: u32, target: u32) -> Vec<Neighbourhood> {
    let scale = f64::from(source) / f64::from(target);
    let last = i64::from(source) - 1;
    (0..target)
        .map(|index| {
            let position = (f64::from(index) + 0.5) * scale - 0.5;
            let before = position.floor();
            Neighbourhood {
                samples: [-1, 0, 1, 2]
                    .map(|offset| (before as i64 + offset).clamp(0, last) as usize),
                weights: weights(position - before),
            }
        })
        .collect()
}

/// Keys' kernel for four neighbours of a point that lies the share `fraction` (0 to 1) of the way
/// from the second to the third.
fn weights(fraction: f64) -> [f32; TAPS] {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    [
        far(1.0 + fraction),
        near(fraction),
        near(1.0 - fraction),
        far(2.0 - fraction),
    ]
    .map(|weight| weight as f32)
}

fn interpolate_row(source: &[u8], columns: &[Neighbourhood], row: &mut Vec<f32>) {
    row.resize(columns.len() * 3, 0.0);
    for (target, horizontal) in row.chunks_exact_mut(3).zip(columns) {
        let mut sums = [0.0; 3];
        for (&sample, weight) in horizontal.samples.iter().zip(horizontal.weights) {
            let pixel = &source[sample * 3..sample * 3 + 3];
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += weight * f32::from(value);
            }
        }
        target.copy_from_slice(&sums);
    }
}
