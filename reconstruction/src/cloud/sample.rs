//! Uniform, reproducible sampling of pixels.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::confident::ConfidentPixels;

/// One pixel of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pixel {
    /// Index of the frame in the prediction.
    pub frame: u32,
    /// Row-major index in the frame.
    pub index: u32,
}

/// Selection sampling: visits a known number of items once and takes exactly the wanted number of
/// them; every subset is equally likely (Knuth, The Art of Computer Programming, vol. 2,
/// section 3.4.2, algorithm S).
#[derive(Debug)]
pub struct SelectionSampler {
    random: Xoshiro256PlusPlus,
    remaining: u64,
    wanted: u64,
}

impl SelectionSampler {
    /// Takes `wanted` of `available` items, or all if there are fewer.
    pub fn new(available: usize, wanted: usize, seed: u64) -> Self {
        SelectionSampler {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            remaining: available as u64,
            wanted: wanted.min(available) as u64,
        }
    }

    /// Whether to take the next item.
    pub fn take_next(&mut self) -> bool {
        if self.wanted == 0 {
            return false;
        }
        // Uniform in 0..remaining: the high half of a 64 by 64 bit product.
        let draw = (u128::from(self.random.next_u64()) * u128::from(self.remaining)) >> 64;
        let taken = draw < u128::from(self.wanted);
        self.remaining = self.remaining.saturating_sub(1);
        self.wanted -= u64::from(taken);
        taken
    }
}

/// At most `limit` of the confident pixels, uniformly without replacement, ordered by frame and
/// index. The same prediction, limit and seed give the same pixels on every machine.
pub fn sample_pixels(pixels: &ConfidentPixels, limit: usize, seed: u64) -> Vec<Pixel> {
    let counts = pixels.count_by_frame();
    let available: usize = counts.iter().sum();
    let frames = 0..counts.len();
    if available <= limit {
        return frames
            .into_par_iter()
            .flat_map_iter(|frame| pixels_of_frame(pixels, frame))
            .collect();
    }
    let mut sampler = SelectionSampler::new(available, limit, seed);
    let mut sample = Vec::with_capacity(limit);
    for frame in frames {
        sample.extend(pixels_of_frame(pixels, frame).filter(|_| sampler.take_next()));
    }
    sample
}

/// Like [`sample_pixels`] for the given pixels; keeps their order.
pub fn sample_of(mut pixels: Vec<Pixel>, limit: usize, seed: u64) -> Vec<Pixel> {
    if pixels.len() > limit {
        let mut sampler = SelectionSampler::new(pixels.len(), limit, seed);
        pixels.retain(|_| sampler.take_next());
    }
    pixels
}

fn pixels_of_frame(pixels: &ConfidentPixels, frame: usize) -> impl Iterator<Item = Pixel> {
    pixels.of_frame(frame).map(move |index| Pixel {
        frame: frame as u32,
        index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(available: usize, wanted: usize, seed: u64) -> Vec<usize> {
        let mut sampler = SelectionSampler::new(available, wanted, seed);
        (0..available).filter(|_| sampler.take_next()).collect()
    }

    #[test]
    fn takes_exactly_the_wanted_number() {
        for (available, wanted) in [(0, 0), (0, 5), (5, 0), (1, 1), (5, 5), (5, 9), (1000, 333)] {
            assert_eq!(take(available, wanted, 7).len(), wanted.min(available));
        }
    }

    #[test]
    fn is_reproducible_and_depends_on_the_seed() {
        assert_eq!(take(10_000, 100, 1), take(10_000, 100, 1));
        assert_ne!(take(10_000, 100, 1), take(10_000, 100, 2));
    }

    #[test]
    fn every_item_is_equally_likely() {
        const ITEMS: usize = 50;
        const WANTED: usize = 15;
        const RUNS: u64 = 20_000;
        let mut hits = [0_u32; ITEMS];
        let mut pairs = 0;
        for seed in 0..RUNS {
            let taken = take(ITEMS, WANTED, seed);
            pairs += usize::from(taken.contains(&0) && taken.contains(&1));
            taken.into_iter().for_each(|item| hits[item] += 1);
        }
        let p = WANTED as f64 / ITEMS as f64;
        let expected = RUNS as f64 * p;
        let chi_square: f64 = hits
            .iter()
            .map(|&count| (f64::from(count) - expected).powi(2) / (expected * (1.0 - p)))
            .sum();
        // About chi-square with 49 degrees of freedom: 5 standard deviations around the mean.
        assert!(
            (chi_square - 49.0).abs() < 5.0 * 98_f64.sqrt(),
            "{chi_square}"
        );
        // Neighbours are drawn without replacement: P(both) = k (k-1) / (n (n-1)).
        let both = (WANTED * (WANTED - 1)) as f64 / (ITEMS * (ITEMS - 1)) as f64;
        let deviation = (RUNS as f64 * both * (1.0 - both)).sqrt();
        assert!((pairs as f64 - RUNS as f64 * both).abs() < 5.0 * deviation);
    }
}
