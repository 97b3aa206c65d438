//! Robust estimation of the similarity between the worlds of two results.

use nalgebra::{Isometry3, Point3, Similarity3, UnitQuaternion, Vector3};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::similarity::estimate_similarity;
use super::statistics::median;

/// Deviation up to which a correspondence is an inlier, as a fraction of its distance from the
/// camera: the error of depth grows with depth.
pub const TOLERANCE: f64 = 0.05;

/// Fewer correspondences do not give an alignment.
pub const MIN_CORRESPONDENCES: usize = 16;

/// Share of the correspondences that must be inliers.
const MIN_INLIER_SHARE: f64 = 0.25;

/// Number of random minimal samples: with 70 % outliers, one of them has no outlier with
/// probability 0.9997.
const SAMPLES: usize = 300;

/// Correspondences that the cost of a hypothesis is computed from.
const COST_CORRESPONDENCES: usize = 500;

/// Steps of iteratively reweighted least squares.
const REFINEMENTS: usize = 15;

/// Tukey's constant for the bisquare weight, in standard deviations.
const BISQUARE: f64 = 4.685;

/// Standard deviations per median absolute deviation.
const PER_MEDIAN: f64 = 1.4826;

/// The same surface point in two results.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correspondence {
    /// In the world of the result to be aligned.
    pub from: Point3<f64>,
    /// In the world to align with.
    pub to: Point3<f64>,
    /// Distance of `to` from the camera that saw it; greater than 0.
    pub distance: f64,
}

/// The same camera in two results: camera-to-world poses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraPair {
    pub from: Isometry3<f64>,
    pub to: Isometry3<f64>,
}

impl CameraPair {
    /// The rotation from one world to the other that this camera implies.
    fn rotation(&self) -> UnitQuaternion<f64> {
        self.to.rotation * self.from.rotation.inverse()
    }

    /// The similarity with a given scale that maps `from` to `to`; `None` if it is not finite.
    pub fn similarity(&self, scale: f64) -> Option<Similarity3<f64>> {
        let rotation = self.rotation();
        let from = self.from.translation.vector;
        let translation = self.to.translation.vector - rotation * from * scale;
        (scale.is_normal() && scale > 0.0 && translation.iter().all(|value| value.is_finite()))
            .then(|| Similarity3::from_parts(translation.into(), rotation, scale))
    }
}

/// A similarity and how well the correspondences fit it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    pub similarity: Similarity3<f64>,
    /// Correspondences within [`TOLERANCE`].
    pub inliers: usize,
    /// Median deviation of the inliers as a fraction of their distance.
    pub median_error: f64,
}

/// Aligns by points. Random minimal samples (RANSAC, Fischler and Bolles, CACM 1981) and the given
/// hypotheses are compared by a truncated quadratic cost (MSAC, Torr and Zisserman, CVIU 2000). The
/// best is refined by least squares, iteratively reweighted with Tukey's bisquare.
///
/// Deterministic. `None` if there are too few correspondences or too few inliers.
pub fn align_points(
    correspondences: &[Correspondence],
    hypotheses: &[Similarity3<f64>],
) -> Option<Fit> {
    if correspondences.len() < MIN_CORRESPONDENCES {
        return None;
    }
    let step = correspondences.len().div_ceil(COST_CORRESPONDENCES);
    let cost = |similarity: &Similarity3<f64>| -> f64 {
        let selected = correspondences.iter().step_by(step);
        selected
            .map(|pair| (deviation(similarity, pair) / TOLERANCE).min(1.0).powi(2))
            .sum()
    };
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let samples = (0..SAMPLES).filter_map(|_| {
        let sample = random_triple(correspondences, &mut random)?;
        estimate_similarity(sample.iter().map(|pair| (pair.from, pair.to, 1.0)))
    });
    let (_, best) = hypotheses
        .iter()
        .copied()
        .chain(samples)
        .map(|similarity| (cost(&similarity), similarity))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))?;

    let fit = evaluate(correspondences, refine(correspondences, best));
    let needed = (MIN_INLIER_SHARE * correspondences.len() as f64).max(MIN_CORRESPONDENCES as f64);
    (fit.inliers as f64 >= needed).then_some(fit)
}

/// Aligns by cameras alone, for results that share too few confident points. The rotation is the
/// medoid of the cameras' rotations, the scale is `scale` or the median ratio of the distances
/// between cameras, and the translation is the median. `None` if the scale is unknown.
pub fn align_cameras(pairs: &[CameraPair], scale: Option<f64>) -> Option<Similarity3<f64>> {
    let rotation = medoid_rotation(pairs)?;
    let scale = scale.or_else(|| scale_of_baselines(pairs))?;
    let mut shifts = [const { Vec::new() }; 3];
    for pair in pairs {
        let from = rotation * pair.from.translation.vector * scale;
        let shift = pair.to.translation.vector - from;
        for (values, value) in shifts.iter_mut().zip(shift.iter()) {
            values.push(*value);
        }
    }
    let [x, y, z] = shifts.map(|mut values| median(&mut values));
    let translation = Vector3::new(x?, y?, z?);
    (scale.is_normal() && scale > 0.0 && translation.iter().all(|value| value.is_finite()))
        .then(|| Similarity3::from_parts(translation.into(), rotation, scale))
}

/// Counts the inliers of a similarity and measures their median error.
pub fn evaluate(correspondences: &[Correspondence], similarity: Similarity3<f64>) -> Fit {
    let mut inliers: Vec<f64> = correspondences
        .iter()
        .map(|pair| deviation(&similarity, pair))
        .filter(|&deviation| deviation < TOLERANCE)
        .collect();
    Fit {
        similarity,
        inliers: inliers.len(),
        median_error: median(&mut inliers).unwrap_or(f64::INFINITY),
    }
}

fn deviation(similarity: &Similarity3<f64>, pair: &Correspondence) -> f64 {
    (similarity * pair.from - pair.to).norm() / pair.distance
}

fn refine(correspondences: &[Correspondence], start: Similarity3<f64>) -> Similarity3<f64> {
    let mut similarity = start;
    for _ in 0..REFINEMENTS {
        let spread = PER_MEDIAN * evaluate(correspondences, similarity).median_error;
        let cutoff = (BISQUARE * spread).clamp(1e-6, TOLERANCE);
        let weighted = correspondences.iter().map(|pair| {
            let ratio = (deviation(&similarity, pair) / cutoff).min(1.0);
            let weight = (1.0 - ratio * ratio).powi(2) / (pair.distance * pair.distance);
            (pair.from, pair.to, weight)
        });
        let Some(better) = estimate_similarity(weighted) else {
            break;
        };
        similarity = better;
    }
    similarity
}

fn random_triple(
    correspondences: &[Correspondence],
    random: &mut Xoshiro256PlusPlus,
) -> Option<[Correspondence; 3]> {
    let count = correspondences.len() as u64;
    let [a, b, c] = [(); 3].map(|()| (random.next_u64() % count) as usize);
    (a != b && b != c && a != c).then(|| [a, b, c].map(|index| correspondences[index]))
}

fn medoid_rotation(pairs: &[CameraPair]) -> Option<UnitQuaternion<f64>> {
    let rotations: Vec<_> = pairs.iter().map(CameraPair::rotation).collect();
    let disagreement = |rotation: &UnitQuaternion<f64>| -> f64 {
        rotations.iter().map(|other| rotation.angle_to(other)).sum()
    };
    rotations
        .iter()
        .min_by(|a, b| disagreement(a).total_cmp(&disagreement(b)))
        .copied()
}

fn scale_of_baselines(pairs: &[CameraPair]) -> Option<f64> {
    let mut ratios = Vec::new();
    for (index, a) in pairs.iter().enumerate() {
        for b in &pairs[index + 1..] {
            let from = (a.from.translation.vector - b.from.translation.vector).norm();
            let to = (a.to.translation.vector - b.to.translation.vector).norm();
            let ratio = to / from;
            if ratio.is_normal() {
                ratios.push(ratio);
            }
        }
    }
    median(&mut ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(Xoshiro256PlusPlus);

    impl Random {
        fn uniform(&mut self, low: f64, high: f64) -> f64 {
            low + (high - low) * (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn vector(&mut self, size: f64) -> Vector3<f64> {
            Vector3::from_fn(|_, _| self.uniform(-size, size))
        }
    }

    fn truth() -> Similarity3<f64> {
        let angles = Vector3::new(0.3, -1.1, 0.2);
        Similarity3::new(Vector3::new(2.0, 0.3, -5.0), angles, 7.5)
    }

    fn correspondences(count: usize, outliers: f64, noise: f64) -> Vec<Correspondence> {
        let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(5));
        (0..count)
            .map(|_| {
                let from = Point3::from(random.vector(1.0) + Vector3::new(0.0, 0.0, 3.0));
                let distance = 7.5 * from.coords.norm();
                let mut to = truth() * from + random.vector(noise * distance);
                if random.uniform(0.0, 1.0) < outliers {
                    to += random.vector(15.0);
                }
                Correspondence { from, to, distance }
            })
            .collect()
    }

    fn assert_close(found: &Similarity3<f64>, tolerance: f64) {
        let error = found.inverse() * truth();
        assert!((error.scaling() - 1.0).abs() < tolerance, "{error}");
        assert!(error.isometry.rotation.angle() < tolerance, "{error}");
        assert!(
            error.isometry.translation.vector.norm() < 3.0 * tolerance,
            "{error}"
        );
    }

    #[test]
    fn recovers_the_similarity_despite_outliers() {
        let exact = align_points(&correspondences(1000, 0.3, 0.0), &[]).unwrap();
        assert_close(&exact.similarity, 1e-9);
        assert!((680..740).contains(&exact.inliers), "{}", exact.inliers);

        // 1 % of the distance in noise leaves a standard error of about 0.0014 rad with 700
        // inliers.
        let noisy = align_points(&correspondences(1000, 0.3, 0.01), &[]).unwrap();
        assert_close(&noisy.similarity, 4e-3);
        assert!(noisy.median_error < 0.015);

        let hard = align_points(&correspondences(1000, 0.65, 0.01), &[]).unwrap();
        assert_close(&hard.similarity, 6e-3);
    }

    #[test]
    fn is_reproducible() {
        let pairs = correspondences(500, 0.4, 0.02);
        assert_eq!(align_points(&pairs, &[]), align_points(&pairs, &[]));
    }

    #[test]
    fn outliers_alone_give_no_alignment() {
        assert_eq!(align_points(&correspondences(1000, 1.0, 0.01), &[]), None);
        assert_eq!(align_points(&correspondences(15, 0.0, 0.0), &[]), None);
    }

    fn cameras(count: usize) -> Vec<CameraPair> {
        let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(9));
        (0..count)
            .map(|_| {
                let from = Isometry3::new(random.vector(1.0), random.vector(1.0));
                let to = (truth() * from).isometry;
                CameraPair { from, to }
            })
            .collect()
    }

    #[test]
    fn cameras_alone_give_the_similarity() {
        let mut pairs = cameras(7);
        pairs[2].to = Isometry3::new(Vector3::repeat(40.0), Vector3::new(1.0, 0.0, 2.0));
        assert_close(&align_cameras(&pairs, None).unwrap(), 1e-9);
    }

    #[test]
    fn one_camera_needs_a_scale() {
        let pairs = cameras(1);
        assert_eq!(align_cameras(&pairs, None), None);
        assert_close(&align_cameras(&pairs, Some(7.5)).unwrap(), 1e-9);
        assert_close(&pairs[0].similarity(7.5).unwrap(), 1e-9);
        assert_eq!(align_cameras(&[], Some(7.5)), None);
    }
}
