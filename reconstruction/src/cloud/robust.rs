//! Means that a minority of wrong values hardly moves.

use nalgebra::{UnitQuaternion, Vector3};

/// Steps of a robust mean; each brings it nearer by a constant factor.
const MEAN_STEPS: usize = 30;

/// The median, between the two middle values of an even number.
pub(crate) fn middle_of(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(values[last / 2].midpoint(values[values.len() / 2]))
}

/// The rotation whose sum of angles to the given ones is smallest, which a minority of wrong ones hardly
/// moves (Weiszfeld's algorithm: Hartley, Aftab and Trumpf, "L1 rotation averaging using the Weiszfeld
/// algorithm", CVPR 2011).
pub(crate) fn mean_rotation(rotations: &[UnitQuaternion<f64>]) -> Option<UnitQuaternion<f64>> {
    let distance = |from: &UnitQuaternion<f64>| -> f64 {
        rotations.iter().map(|other| from.angle_to(other)).sum()
    };
    let mut mean = *rotations
        .iter()
        .min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
    for _ in 0..MEAN_STEPS {
        let steps = rotations
            .iter()
            .map(|other| (mean.inverse() * other).scaled_axis());
        let step = weiszfeld_step(steps);
        mean *= UnitQuaternion::from_scaled_axis(step);
    }
    Some(mean)
}

/// The point whose sum of distances to the given ones is smallest.
pub(crate) fn mean_vector(points: &[Vector3<f64>]) -> Option<Vector3<f64>> {
    let distance =
        |from: &Vector3<f64>| -> f64 { points.iter().map(|other| (from - other).norm()).sum() };
    let mut mean = *points
        .iter()
        .min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
    for _ in 0..MEAN_STEPS {
        let step = weiszfeld_step(points.iter().map(|other| other - mean));
        mean += step;
    }
    Some(mean)
}

/// A step towards the middle of differences: their mean, weighted by the inverse of their lengths.
fn weiszfeld_step(differences: impl Iterator<Item = Vector3<f64>>) -> Vector3<f64> {
    // Keeps the weight of a difference of nothing finite; far below any error of a model.
    const SHORTEST: f64 = 1e-9;
    let (sum, weights) = differences.fold((Vector3::zeros(), 0.0), |(sum, weights), difference| {
        let weight = 1.0 / difference.norm().max(SHORTEST);
        (sum + difference * weight, weights + weight)
    });
    sum / weights
}
