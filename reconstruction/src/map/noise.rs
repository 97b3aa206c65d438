//! How noisy the known cameras of a map are, and which of them are plainly wrong.

use nalgebra::Vector3;

use crate::cloud::median;

/// Cameras before and after one that it is compared with, to find those that are plainly wrong.
const NEIGHBOURS: usize = 3;
/// Deviations of positions where clients give none, as shares of the path: the least and the most that
/// the known cameras themselves show, and what is assumed if they are too few for that.
pub(super) const POSITION: Assumed = Assumed {
    least: 0.002,
    most: 0.05,
    usual: 0.01,
};
/// The same of rotations, in radians: 0.25, 5 and 1 degrees.
pub(super) const ROTATION: Assumed = Assumed {
    least: 0.0044,
    most: 0.087,
    usual: 0.017,
};
/// Known cameras from which their own noise can be told.
const TELLING: usize = 5;
/// Standard deviations per median length of a vector of three normal numbers.
const PER_MEDIAN: f64 = 1.0 / 1.54;

/// A deviation that is assumed where none is given.
pub(super) struct Assumed {
    least: f64,
    most: f64,
    usual: f64,
}

impl Assumed {
    /// The deviation of values along a chain: drift is smooth, so what the second differences show is
    /// noise. `unit` is what the shares are of.
    pub fn deviation(&self, values: &[Vector3<f64>], unit: f64) -> f64 {
        // Of the second difference of three values, each with its own noise.
        let per_value = 6.0_f64.sqrt();
        let second = values
            .windows(3)
            .map(|three| (three[0] - 2.0 * three[1] + three[2]).norm() / per_value);
        let mut second: Vec<f64> = second.collect();
        let found = match values.len() >= TELLING {
            true => median(&mut second).map(|middle| PER_MEDIAN * middle),
            false => None,
        };
        found.map_or(self.usual * unit, |found| {
            found.clamp(self.least * unit, self.most * unit)
        })
    }
}

/// How far each value of a chain, beside its number, is off from what those around it say: the median of
/// what each two of them give on a line, since drift is smooth.
pub(super) fn off_neighbours(values: &[(f64, Vector3<f64>)]) -> Vec<f64> {
    let width = (2 * NEIGHBOURS + 1).min(values.len());
    let off = |(index, (number, value)): (usize, &(f64, Vector3<f64>))| {
        let begin = index.saturating_sub(NEIGHBOURS).min(values.len() - width);
        let others = (begin..begin + width).filter(|other| *other != index);
        let others: Vec<_> = others.map(|other| values[other]).collect();
        let mut said = Vec::new();
        for (at, (one, first)) in others.iter().enumerate() {
            for (other, second) in &others[at + 1..] {
                said.push(first.lerp(second, (number - one) / (other - one)));
            }
        }
        let middle = Vector3::from_fn(|axis, _| {
            let mut said: Vec<f64> = said.iter().map(|said| said[axis]).collect();
            median(&mut said).unwrap_or(value[axis])
        });
        (value - middle).norm()
    };
    values.iter().enumerate().map(off).collect()
}
