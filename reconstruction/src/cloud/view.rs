//! A validated camera with its inverses.

use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};

use crate::prediction::Camera;

/// Largest norm of `R^T R - I` for a rotation `R`; half precision stays below it.
const ROTATION_TOLERANCE: f64 = 1e-2;

/// A registered camera with valid matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Maps camera coordinates to pixel indices.
    pub intrinsics: Matrix3<f64>,
    /// Maps a pixel (u, v, 1) to the point of its ray at depth 1, in camera coordinates.
    pub inverse_intrinsics: Matrix3<f64>,
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
            camera_to_world: world_to_camera.inverse(),
        })
    }

    /// The point of the pixel index (u, v) at `depth` (z in camera coordinates), in the world.
    pub fn unproject(&self, u: f64, v: f64, depth: f64) -> Point3<f64> {
        let ray = self.inverse_intrinsics * Vector3::new(u, v, 1.0);
        self.camera_to_world * Point3::from(ray * depth)
    }

    /// Centre of the camera in the world.
    pub fn centre(&self) -> Point3<f64> {
        self.camera_to_world.translation.vector.into()
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
    fn invalid_cameras_are_refused() {
        let mut unregistered = camera();
        unregistered.registered = false;
        assert!(View::from_camera(&unregistered).is_none());

        let mut not_finite = camera();
        not_finite.extrinsics[(0, 3)] = f64::NAN;
        assert!(View::from_camera(&not_finite).is_none());

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
