//! Predictions for known cameras, in the world and the unit of length of these.

use nalgebra::{Matrix4, Vector3};

use super::known::KnownCamera;
use crate::prediction::Prediction;

/// Clients round the numbers of their poses, and models compute in 32 bits: what is this much smaller
/// than the rest is no distance.
const ROUNDING: f64 = 1e-4;

/// Takes the known cameras, one per frame, in the place of the predicted ones, and brings depth to
/// their unit of length.
///
/// That is how many times farther apart the known cameras are than the predicted ones: the ratio of
/// their spreads, which does not depend on the worlds they are in (Horn, "Closed-form solution of
/// absolute orientation using unit quaternions", JOSA A 1987, section 2.E). A single camera and
/// cameras at about one place tell nothing: then depth stays as it is.
pub fn adopt_known_cameras(prediction: &mut Prediction, known: &[KnownCamera]) {
    let given = Spread::of(known.iter().map(|camera| camera.extrinsics));
    let predicted = Spread::of(prediction.cameras.iter().map(|camera| camera.extrinsics));
    let unit = given.distance / predicted.distance;
    let nearest = f64::from(prediction.depth.iter().copied().fold(f32::MAX, f32::min));
    let tells = given.distance > ROUNDING * given.reach
        && predicted.distance > ROUNDING * predicted.reach.max(nearest);
    if tells && unit.is_normal() {
        for depth in &mut prediction.depth {
            // Depth stays positive and finite in any unit.
            let in_unit = f64::from(*depth) * unit;
            *depth = in_unit.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)) as f32;
        }
    }
    for (camera, known) in prediction.cameras.iter_mut().zip(known) {
        camera.extrinsics = known.extrinsics;
        camera.intrinsics = known.intrinsics;
    }
}

/// How far cameras are apart.
struct Spread {
    /// Root of the mean squared distance from their middle.
    distance: f64,
    /// The largest distance from the world's origin.
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

/// Where a camera is: `-R^T t`.
fn centre(pose: &Matrix4<f64>) -> Vector3<f64> {
    -(pose.fixed_view::<3, 3>(0, 0).transpose() * pose.fixed_view::<3, 1>(0, 3))
}

#[cfg(test)]
mod tests {
    use nalgebra::Matrix3;

    use super::*;
    use crate::geometry::FrameSize;
    use crate::prediction::Camera;

    fn at(x: f64, z: f64) -> Matrix4<f64> {
        Matrix4::new_translation(&Vector3::new(-x, 0.0, -z))
    }

    fn prediction(extrinsics: &[Matrix4<f64>]) -> Prediction {
        let camera = |extrinsics: &Matrix4<f64>| Camera {
            extrinsics: *extrinsics,
            intrinsics: Matrix3::identity(),
            registered: true,
        };
        Prediction {
            size: FrameSize::new(1, 1),
            cameras: extrinsics.iter().map(camera).collect(),
            depth: vec![2.0; extrinsics.len()],
            confidence: vec![2.0; extrinsics.len()],
        }
    }

    fn known(extrinsics: &[Matrix4<f64>]) -> Vec<KnownCamera> {
        let camera = |extrinsics: &Matrix4<f64>| KnownCamera {
            extrinsics: *extrinsics,
            intrinsics: Matrix3::identity() * 2.0,
        };
        extrinsics.iter().map(camera).collect()
    }

    #[test]
    fn depth_comes_in_the_unit_of_the_known_cameras() {
        let mut found = prediction(&[at(0.0, 0.0), at(1.0, 0.0), at(2.0, 0.0)]);
        // The same line in another direction, from elsewhere, and three times as long.
        let given = known(&[at(7.0, 1.0), at(7.0, 4.0), at(7.0, 7.0)]);
        adopt_known_cameras(&mut found, &given);
        assert!(found.depth.iter().all(|depth| (depth - 6.0).abs() < 1e-6));
        for (camera, given) in found.cameras.iter().zip(&given) {
            assert_eq!(camera.extrinsics, given.extrinsics);
            assert_eq!(camera.intrinsics, given.intrinsics);
        }
    }

    #[test]
    fn cameras_at_one_place_tell_no_unit() {
        for extrinsics in [vec![at(1.0, 2.0)], vec![at(1.0, 2.0); 3]] {
            let mut found = prediction(&vec![at(0.0, 0.0); extrinsics.len()]);
            let given = known(&extrinsics);
            adopt_known_cameras(&mut found, &given);
            assert!(found.depth.iter().all(|depth| *depth == 2.0));
            assert_eq!(found.cameras[0].extrinsics, given[0].extrinsics);
        }
    }

    #[test]
    fn a_turn_on_the_spot_in_rounded_numbers_tells_no_unit() {
        let place = Vector3::new(3.0, -2.0, 5.0);
        let turned = |angle: f64| {
            let rotation = Matrix4::new_rotation(Vector3::new(0.0, angle, 0.0));
            let pose = rotation * Matrix4::new_translation(&-place);
            pose.map(|number| (number * 1e6).round() / 1e6)
        };
        let on_the_spot = [turned(0.1), turned(0.7), turned(1.9)];
        let along_a_line = [at(0.0, 0.0), at(1.0, 0.0), at(2.0, 0.0)];
        let noise = [at(0.0, 0.0), at(1e-6, 0.0), at(0.0, 1e-6)];
        for (predicted, given) in [(along_a_line, on_the_spot), (noise, along_a_line)] {
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
