//! Drawn cameras: each is a pyramid of lines.

use nalgebra::{Matrix3, Point3, Vector3};

use crate::cloud::SceneCamera;
use crate::geometry::FrameSize;

/// Vertices of a pyramid: the camera's centre and the four corners of its image.
pub const VERTICES: usize = 5;

/// Indices of a pyramid, two per line: four lines from the centre to the corners, four around the
/// image.
pub const INDICES: usize = 16;

/// Vertices of each line.
pub const LINES: [u32; INDICES] = [0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1];

/// The vertices of a camera's pyramid in GLB coordinates: its centre, then the points at `depth` on
/// the rays of the top left, top right, bottom right and bottom left pixel. `None` if the camera
/// has no pose or a number overflows single precision. A corner at which the distortion lets nothing
/// appear is drawn where a pinhole camera has it.
pub fn vertices(camera: &SceneCamera, size: FrameSize, depth: f64) -> Option<[[f32; 3]; VERTICES]> {
    let pose = camera.pose?;
    let inverse: Matrix3<f64> = camera.intrinsics.try_inverse()?;
    let (right, bottom) = (f64::from(size.width) - 1.0, f64::from(size.height) - 1.0);
    let corner = |u: f64, v: f64| {
        let ray = inverse * Vector3::new(u, v, 1.0);
        let seen = ray / ray.z;
        let [x, y] = camera
            .distortion
            .undistort([seen.x, seen.y])
            .unwrap_or([seen.x, seen.y]);
        pose * Point3::from(Vector3::new(x, y, seen.z) * depth)
    };
    let vertices = [
        pose.translation.vector.into(),
        corner(0.0, 0.0),
        corner(right, 0.0),
        corner(right, bottom),
        corner(0.0, bottom),
    ]
    .map(|point: Point3<f64>| [point.x as f32, point.y as f32, point.z as f32]);
    let finite = vertices
        .as_flattened()
        .iter()
        .all(|value| value.is_finite());
    finite.then_some(vertices)
}

/// The colour of camera `index` of `count`: evenly spaced hues with saturation 0.85 and value 0.95.
pub fn color(index: usize, count: usize) -> [u8; 3] {
    const SATURATION: f64 = 0.85;
    const VALUE: f64 = 0.95;
    let hue = (index as f64 + 0.5) / count.max(1) as f64 * 6.0;
    // Each channel is a trapezoid over the hue (Smith, "Color gamut transform pairs", 1978).
    let channel = |offset: f64| {
        let position = (offset + hue) % 6.0;
        let dip = position.min(4.0 - position).clamp(0.0, 1.0);
        (VALUE * (1.0 - SATURATION * dip) * 255.0) as u8
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Distortion;
    use nalgebra::{Isometry3, Matrix4};

    fn camera() -> SceneCamera {
        SceneCamera {
            id: 0,
            name: "".into(),
            intrinsics: Matrix3::new(100.0, 0.0, 50.0, 0.0, 100.0, 40.0, 0.0, 0.0, 1.0),
            distortion: Distortion::NONE,
            extrinsics: Matrix4::identity(),
            pose: Some(Isometry3::translation(1.0, 2.0, 3.0)),
        }
    }

    #[test]
    fn distortion_moves_the_corners() {
        let mut camera = camera();
        camera.distortion.k1 = -0.2;
        let vertices = vertices(&camera, FrameSize::new(101, 81), 2.0).unwrap();
        // The ray whose distorted image is the corner (0.5, 0.4).
        let [x, y] = camera.distortion.undistort([0.5, 0.4]).unwrap();
        assert!(x > 0.55);
        let corner = [1.0 + 2.0 * x, 2.0 + 2.0 * y, 5.0];
        for (vertex, expected) in vertices[3].iter().zip(corner) {
            assert!((f64::from(*vertex) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn pyramid_spans_the_image() {
        let vertices = vertices(&camera(), FrameSize::new(101, 81), 2.0).unwrap();
        let expected = [
            [1.0, 2.0, 3.0],
            [0.0, 1.2, 5.0],
            [2.0, 1.2, 5.0],
            [2.0, 2.8, 5.0],
            [0.0, 2.8, 5.0],
        ];
        for (vertex, expected) in vertices.as_flattened().iter().zip(expected.as_flattened()) {
            assert!((vertex - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn hues_are_evenly_spaced() {
        // From an independent HSV conversion (Python's colorsys) at hues 1/6, 1/2, 5/6 and 0.05.
        assert_eq!(color(0, 3), [242, 242, 36]);
        assert_eq!(color(1, 3), [36, 242, 242]);
        assert_eq!(color(2, 3), [242, 36, 242]);
        assert_eq!(color(0, 10), [242, 98, 36]);
    }
}
