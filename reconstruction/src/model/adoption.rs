//! Puts a prediction into the world and the unit of length of known cameras.

use nalgebra::{Matrix4, Vector3};

use super::known::KnownCamera;
use crate::geometry::Distortion;
use crate::prediction::Prediction;

/// Relative size below which a distance is rounding noise: clients round the numbers of their
/// poses, and models compute in 32 bits.
const ROUNDING: f64 = 1e-4;

/// Replaces the predicted cameras by the known ones, one per frame, which have no distortion, and
/// scales depth to their unit of length.
///
/// The scale is the ratio of the spreads of both sets of cameras. It does not depend on the worlds
/// that they are in (Horn, "Closed-form solution of absolute orientation using unit quaternions",
/// JOSA A 1987, section 2.E). With one camera, or with all cameras at about one place, the scale is
/// unknown and depth does not change.
pub fn adopt_known_cameras(prediction: &mut Prediction, known: &[KnownCamera]) {
    let given = Spread::of(known.iter().map(|camera| camera.extrinsics));
    let predicted = Spread::of(prediction.cameras.iter().map(|camera| camera.extrinsics));
    let unit = given.distance / predicted.distance;
    let nearest = f64::from(prediction.depth.iter().copied().fold(f32::MAX, f32::min));
    let measurable = given.distance > ROUNDING * given.reach
        && predicted.distance > ROUNDING * predicted.reach.max(nearest);
    if measurable && unit.is_normal() {
        for depth in &mut prediction.depth {
            let scaled = f64::from(*depth) * unit;
            *depth = scaled.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)) as f32;
        }
    }
    for (camera, known) in prediction.cameras.iter_mut().zip(known) {
        camera.extrinsics = known.extrinsics;
        camera.intrinsics = known.intrinsics;
        camera.distortion = Distortion::NONE;
    }
}

/// Extent of a set of cameras.
struct Spread {
    /// Root mean square distance of the centres from their mean.
    distance: f64,
    /// Largest distance of a centre from the world's origin.
    reach: f64,
}

impl Spread {
    fn of(extrinsics: impl ExactSizeIterator<Item = Matrix4<f64>>) -> Self {
        let count = extrinsics.len() as f64;
        let centres: Vec<Vector3<f64>> = extrinsics.map(|pose| centre(&pose)).collect();
        let middle = centres.iter().sum::<Vector3<f64>>() / count;
        let squares = centres
            .iter()
            .map(|centre| (centre - middle).norm_squared());
        Self {
            distance: (squares.sum::<f64>() / count).sqrt(),
            reach: centres.iter().map(Vector3::norm).fold(0.0, f64::max),
        }
    }
}

/// Centre of a camera in the world: `-R^T t`.
fn centre(pose: &Matrix4<f64>) -> Vector3<f64> {
    -(pose.fixed_view::<3, 3>(0, 0).transpose() * pose.fixed_view::<3, 1>(0, 3))
}

#[cfg(test)]
mod tests {
    use nalgebra::Matrix3;

    use super::*;
    use crate::geometry::FrameSize;
    use crate::model::CameraDeviations;
    use crate::prediction::Camera;

    fn at(x: f64, z: f64) -> Matrix4<f64> {
        Matrix4::new_translation(&Vector3::new(-x, 0.0, -z))
    }

    fn prediction(extrinsics: &[Matrix4<f64>]) -> Prediction {
        let camera = |extrinsics: &Matrix4<f64>| Camera {
            extrinsics: *extrinsics,
            intrinsics: Matrix3::identity(),
            distortion: Distortion { k1: -0.1, k2: 0.0 },
            registered: true,
        };
        Prediction {
            size: FrameSize::new(1, 1),
            cameras: extrinsics.iter().map(camera).collect(),
            depth: vec![2.0; extrinsics.len()],
            confidence: vec![2.0; extrinsics.len()],
            report: None,
            links: None,
        }
    }

    fn known(extrinsics: &[Matrix4<f64>]) -> Vec<KnownCamera> {
        let camera = |extrinsics: &Matrix4<f64>| KnownCamera {
            extrinsics: *extrinsics,
            intrinsics: Matrix3::identity() * 2.0,
            deviations: CameraDeviations::default(),
        };
        extrinsics.iter().map(camera).collect()
    }

    #[test]
    fn depth_gets_the_unit_of_the_known_cameras() {
        let mut found = prediction(&[at(0.0, 0.0), at(1.0, 0.0), at(2.0, 0.0)]);
        // A line with another direction and origin, three times as long.
        let given = known(&[at(7.0, 1.0), at(7.0, 4.0), at(7.0, 7.0)]);
        adopt_known_cameras(&mut found, &given);
        assert!(found.depth.iter().all(|depth| (depth - 6.0).abs() < 1e-6));
        for (camera, given) in found.cameras.iter().zip(&given) {
            assert_eq!(camera.extrinsics, given.extrinsics);
            assert_eq!(camera.intrinsics, given.intrinsics);
            assert!(camera.distortion.is_none());
        }
    }

    #[test]
    fn cameras_at_one_place_leave_depth_unchanged() {
        for extrinsics in [vec![at(1.0, 2.0)], vec![at(1.0, 2.0); 3]] {
            let mut found = prediction(&vec![at(0.0, 0.0); extrinsics.len()]);
            let given = known(&extrinsics);
            adopt_known_cameras(&mut found, &given);
            assert!(found.depth.iter().all(|depth| *depth == 2.0));
            assert_eq!(found.cameras[0].extrinsics, given[0].extrinsics);
        }
    }

    #[test]
    fn rotation_without_translation_leaves_depth_unchanged() {
        let place = Vector3::new(3.0, -2.0, 5.0);
        let turned = |angle: f64| {
            let rotation = Matrix4::new_rotation(Vector3::new(0.0, angle, 0.0));
            let pose = rotation * Matrix4::new_translation(&-place);
            pose.map(|number| (number * 1e6).round() / 1e6)
        };
        let at_one_place = [turned(0.1), turned(0.7), turned(1.9)];
        let along_a_line = [at(0.0, 0.0), at(1.0, 0.0), at(2.0, 0.0)];
        let noise = [at(0.0, 0.0), at(1e-6, 0.0), at(0.0, 1e-6)];
        for (predicted, given) in [(along_a_line, at_one_place), (noise, along_a_line)] {
            let mut found = prediction(&predicted);
            adopt_known_cameras(&mut found, &known(&given));
            assert!(found.depth.iter().all(|depth| *depth == 2.0));
        }
    }

    #[test]
    fn depth_stays_finite_and_positive() {
        for (unit, name) in [(1e60, "large"), (1e-60, "small")] {
            let mut found = prediction(&[at(0.0, 0.0), at(1.0, 0.0)]);
            adopt_known_cameras(&mut found, &known(&[at(0.0, 0.0), at(unit, 0.0)]));
            let depth = found.depth[0];
            assert!(depth.is_finite() && depth > 0.0, "{name}: {depth}");
        }
    }
}
