//! The similarity that maps one set of points to another.

use nalgebra::{Matrix3, Point3, Rotation3, Similarity3, UnitQuaternion, Vector3};

/// Second singular value, relative to the first, below which points lie on a line.
const LINE_TOLERANCE: f64 = 1e-6;

/// The similarity `S` that approximately minimises `sum(weight * |to - S(from)|^2)` over triples of
/// `from`, `to` and a weight of at least 0.
///
/// Rotation and translation are those of Umeyama, "Least-squares estimation of transformation
/// parameters between two point patterns", PAMI 1991. The scale is the ratio of the spreads (Horn,
/// "Closed-form solution of absolute orientation using unit quaternions", JOSA A 1987, section
/// 2.E), because both sides have noise, which makes the least-squares scale
/// too small.
///
/// `None` if the points lie on a line, coincide, or are not finite.
pub fn estimate_similarity<I>(pairs: I) -> Option<Similarity3<f64>>
where
    I: Iterator<Item = (Point3<f64>, Point3<f64>, f64)> + Clone,
{
    let mut total = 0.0;
    let mut mean_from = Vector3::zeros();
    let mut mean_to = Vector3::zeros();
    for (from, to, weight) in pairs.clone() {
        total += weight;
        mean_from += from.coords * weight;
        mean_to += to.coords * weight;
    }
    mean_from /= total;
    mean_to /= total;

    let mut covariance = Matrix3::zeros();
    let (mut spread_from, mut spread_to) = (0.0, 0.0);
    for (from, to, weight) in pairs {
        let from = from.coords - mean_from;
        let to = to.coords - mean_to;
        covariance += to * from.transpose() * weight;
        spread_from += from.norm_squared() * weight;
        spread_to += to.norm_squared() * weight;
    }
    if !covariance.iter().all(|value| value.is_finite()) {
        return None;
    }
    let svd = covariance.svd(true, true);
    let (u, v_t) = (svd.u?, svd.v_t?);
    let mut singular = [0, 1, 2].map(|axis| svd.singular_values[axis]);
    singular.sort_by(f64::total_cmp);
    if singular[1] <= singular[2] * LINE_TOLERANCE {
        return None;
    }
    // A reflection fits best: flip the axis with the smallest singular value.
    let smallest = svd.singular_values.imin();
    let mut signs = Vector3::repeat(1.0);
    if (u * v_t).determinant() < 0.0 {
        signs[smallest] = -1.0;
    }
    let rotation = Rotation3::from_matrix_unchecked(u * Matrix3::from_diagonal(&signs) * v_t);
    let scale = (spread_to / spread_from).sqrt();
    let translation = mean_to - rotation * mean_from * scale;
    if !(scale.is_normal() && translation.iter().all(|value| value.is_finite())) {
        return None;
    }
    Some(Similarity3::from_parts(
        translation.into(),
        UnitQuaternion::from_rotation_matrix(&rotation),
        scale,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Similarity3<f64> {
        Similarity3::new(
            Vector3::new(3.0, -7.0, 0.5),
            Vector3::new(0.4, 2.0, -1.0),
            0.037,
        )
    }

    fn assert_recovered(points: &[Point3<f64>]) {
        let truth = truth();
        let pairs = points.iter().map(|&point| (point, truth * point, 2.0));
        let found = estimate_similarity(pairs).unwrap();
        assert!((found.to_homogeneous() - truth.to_homogeneous()).norm() < 1e-9);
    }

    #[test]
    fn recovers_a_similarity_from_solid_and_flat_points() {
        let solid: Vec<_> = (0..20)
            .map(|i| f64::from(i) * 0.7)
            .map(|t| Point3::new(t.sin(), (1.7 * t).cos(), (2.3 * t).sin() + 4.0))
            .collect();
        assert_recovered(&solid);
        let flat: Vec<_> = solid.iter().map(|p| Point3::new(p.x, p.y, 4.0)).collect();
        assert_recovered(&flat);
        assert_recovered(&flat[..3]);
    }

    #[test]
    fn points_without_extent_are_refused() {
        let line = (0..9).map(|i| Point3::new(f64::from(i), 1.0, 2.0));
        assert!(estimate_similarity(line.map(|p| (p, truth() * p, 1.0))).is_none());
        let same = std::iter::repeat_n(Point3::new(1.0, 2.0, 3.0), 5);
        assert!(estimate_similarity(same.map(|p| (p, p, 1.0))).is_none());
        assert!(estimate_similarity(std::iter::empty()).is_none());
        let nan = Point3::new(f64::NAN, 0.0, 0.0);
        assert!(estimate_similarity([(nan, nan, 1.0)].into_iter()).is_none());
    }
}
