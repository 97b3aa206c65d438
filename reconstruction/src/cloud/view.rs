//! A validated camera with its inverses.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};

use crate::geometry::{Distortion, FrameSize, Undistortion};
use crate::prediction::Camera;

/// Largest norm of `R^T R - I` for a rotation `R`; half precision stays below it.
const ROTATION_TOLERANCE: f64 = 1e-2;

/// A registered camera with valid matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Maps camera coordinates to pixel indices.
    pub intrinsics: Matrix3<f64>,
    /// Maps a pixel (u, v, 1) to the plane at depth 1 in camera coordinates, where the distorted
    /// point of its ray is.
    pub inverse_intrinsics: Matrix3<f64>,
    /// From the points of that plane to their distorted ones.
    pub distortion: Distortion,
    /// Inverse of the extrinsics: maps camera to world coordinates.
    pub camera_to_world: Isometry3<f64>,
}

impl View {
    /// `None` if the camera is not registered, has non-finite numbers, intrinsics that cannot be
    /// inverted, or extrinsics that are not a rotation and a translation.
    pub fn from_camera(camera: &Camera) -> Option<View> {
        let finite = |value: &f64| value.is_finite();
        if !camera.registered
            || !camera.extrinsics.iter().all(finite)
            || !camera.intrinsics.iter().all(finite)
            || camera.intrinsics[(0, 0)] <= 0.0
            || camera.intrinsics[(1, 1)] <= 0.0
            || !camera.distortion.is_finite()
        {
            return None;
        }
        let inverse_intrinsics = camera.intrinsics.try_inverse()?;
        let rotation = nearest_rotation(&camera.extrinsics.fixed_view::<3, 3>(0, 0).into_owned())?;
        let translation = camera.extrinsics.fixed_view::<3, 1>(0, 3).into_owned();
        let world_to_camera = Isometry3::from_parts(Translation3::from(translation), rotation);
        Some(View {
            intrinsics: camera.intrinsics,
            inverse_intrinsics,
            distortion: camera.distortion,
            camera_to_world: world_to_camera.inverse(),
        })
    }

    /// The point of the pixel index (u, v) at `depth` (z in camera coordinates), in the world. NaN
    /// if the distortion lets nothing appear at the pixel.
    pub fn unproject(&self, u: f64, v: f64, depth: f64) -> Point3<f64> {
        let mut ray = self.inverse_intrinsics * Vector3::new(u, v, 1.0);
        if !self.distortion.is_none() {
            ray = undistorted(ray, |seen| self.distortion.undistort(seen));
        }
        self.camera_to_world * Point3::from(ray * depth)
    }

    /// Inverts the distortion for the pixels of an image of this size; `None` without distortion.
    pub fn undistortion(&self, size: FrameSize) -> Option<Undistortion> {
        let (right, bottom) = (f64::from(size.width) - 1.0, f64::from(size.height) - 1.0);
        let radii = [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)].map(|(u, v)| {
            let corner = self.inverse_intrinsics * Vector3::new(u, v, 1.0);
            (corner.x / corner.z).hypot(corner.y / corner.z)
        });
        // The radius is convex over the image, so it is largest at a corner.
        Undistortion::new(self.distortion, radii.into_iter().fold(0.0, f64::max))
    }

    /// Centre of the camera in the world.
    pub fn centre(&self) -> Point3<f64> {
        self.camera_to_world.translation.vector.into()
    }
}

/// The ray through a distorted point, with the same z; NaN if nothing appears there.
pub(super) fn undistorted(
    seen: Vector3<f64>,
    undistort: impl Fn([f64; 2]) -> Option<[f64; 2]>,
) -> Vector3<f64> {
    match undistort([seen.x / seen.z, seen.y / seen.z]) {
        Some([x, y]) => Vector3::new(x * seen.z, y * seen.z, seen.z),
        None => Vector3::repeat(f64::NAN),
    }
}

/// The rotation nearest to a matrix; `None` if the matrix is not a rotation up to rounding.
fn nearest_rotation(matrix: &Matrix3<f64>) -> Option<UnitQuaternion<f64>> {
    let deviation = (matrix.transpose() * matrix - Matrix3::identity()).norm();
    if deviation.is_nan() || deviation > ROTATION_TOLERANCE || matrix.determinant() <= 0.0 {
        return None;
    }
    let svd = matrix.svd(true, true);
    let rotation = Rotation3::from_matrix_unchecked(svd.u? * svd.v_t?);
    Some(UnitQuaternion::from_rotation_matrix(&rotation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Matrix4;

    fn camera() -> Camera {
        let pose = Isometry3::new(Vector3::new(1.0, -2.0, 0.5), Vector3::new(0.3, -0.8, 0.1));
        Camera {
            extrinsics: pose.to_homogeneous(),
            intrinsics: Matrix3::new(200.0, 0.0, 99.5, 0.0, 210.0, 74.5, 0.0, 0.0, 1.0),
            distortion: Distortion::NONE,
            registered: true,
        }
    }

    #[test]
    fn unprojected_pixel_projects_back() {
        let camera = camera();
        let view = View::from_camera(&camera).unwrap();
        let world = view.unproject(17.25, 140.0, 3.5);
        let seen = camera.extrinsics * world.to_homogeneous();
        assert!((seen.z - 3.5).abs() < 1e-9);
        let pixel = camera.intrinsics * seen.xyz();
        assert!((pixel.x / pixel.z - 17.25).abs() < 1e-9);
        assert!((pixel.y / pixel.z - 140.0).abs() < 1e-9);
        let centre = camera.extrinsics * view.centre().to_homogeneous();
        assert!(centre.xyz().norm() < 1e-9);
    }

    #[test]
    fn an_unprojected_pixel_of_a_distorted_image_projects_back() {
        let distortion = Distortion { k1: -0.2, k2: 0.05 };
        let camera = Camera {
            distortion,
            ..camera()
        };
        let view = View::from_camera(&camera).unwrap();
        let world = view.unproject(17.25, 140.0, 3.5);
        let seen = camera.extrinsics * world.to_homogeneous();
        assert!((seen.z - 3.5).abs() < 1e-9, "depth is along the axis");
        let [x, y] = distortion.distort([seen.x / seen.z, seen.y / seen.z]);
        let pixel = camera.intrinsics * Vector3::new(x, y, 1.0);
        assert!((pixel.x - 17.25).abs() < 1e-9 && (pixel.y - 140.0).abs() < 1e-9);
        let pinhole = camera.intrinsics * seen.xyz() / seen.z;
        assert!((pixel.xy() - pinhole.xy()).norm() > 1.0);
    }

    #[test]
    fn invalid_cameras_are_refused() {
        let mut unregistered = camera();
        unregistered.registered = false;
        assert!(View::from_camera(&unregistered).is_none());

        let mut not_finite = camera();
        not_finite.extrinsics[(0, 3)] = f64::NAN;
        assert!(View::from_camera(&not_finite).is_none());

        let mut infinite = camera();
        infinite.distortion.k2 = f64::INFINITY;
        assert!(View::from_camera(&infinite).is_none());

        let mut flat = camera();
        flat.intrinsics[(2, 2)] = 0.0;
        assert!(View::from_camera(&flat).is_none());

        let mut sheared = camera();
        sheared.extrinsics = Matrix4::new_nonuniform_scaling(&Vector3::new(1.0, 2.0, 1.0));
        assert!(View::from_camera(&sheared).is_none());

        let mut mirrored = camera();
        mirrored.extrinsics = Matrix4::new_nonuniform_scaling(&Vector3::new(-1.0, 1.0, 1.0));
        assert!(View::from_camera(&mirrored).is_none());
    }
}
