//! Cameras that the client sends with its images.

use nalgebra::{Isometry3, Matrix3, Matrix4};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cloud::View;
use crate::geometry::{Distortion, FrameSize, Region, resampled, resampled_whole};
use crate::prediction::Camera;

/// Largest deviation of an entry from its exact value: clients send rounded numbers.
const TOLERANCE: f64 = 1e-3;
/// Largest standard deviation of a position, in whatever unit; more says nothing.
const MOST_POSITION: f64 = 1e9;
/// Largest standard deviation of a rotation, in degrees; more says nothing.
const MOST_ROTATION: f64 = 180.0;

/// A pinhole camera that the client knows: for models that take known cameras, and as an anchor of the
/// results of all models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnownCamera {
    /// Maps camera coordinates to pixel indices of the image: the centre of the top left pixel is
    /// (0, 0).
    pub intrinsics: Matrix3<f64>,
    /// World-to-camera transform; camera axes are x right, y down, z forward. All cameras of a
    /// reconstruction share one world. The client chooses its unit of length.
    pub extrinsics: Matrix4<f64>,
    /// How far it may be off.
    #[serde(default, skip_serializing_if = "CameraDeviations::are_unknown")]
    pub deviations: CameraDeviations,
}

/// How far a known camera may be off: standard deviations, as far as the client gives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CameraDeviations {
    /// Of its position along each axis, in the unit of the extrinsics.
    pub position: Option<f64>,
    /// Of its rotation about each axis, in degrees.
    pub rotation: Option<f64>,
}

/// Why two matrices are not a pinhole camera and its pose.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum KnownCameraError {
    /// A matrix has infinite or NaN entries.
    #[error("\"{0}\" has numbers that are not finite")]
    NotFinite(&'static str),
    /// Not `[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`.
    #[error("\"intrinsics\" must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] with fx and fy above 0")]
    Intrinsics,
    /// Not a rotation and a translation.
    #[error(
        "\"extrinsics\" must be a rotation and a translation from the world to the camera, with \
         the last row [0, 0, 0, 1]"
    )]
    Extrinsics,
    /// A standard deviation is not a positive number, or says nothing.
    #[error("\"{field}\" must be above 0 and at most {most}")]
    Deviation { field: &'static str, most: f64 },
}

impl CameraDeviations {
    /// Checks that the numbers are standard deviations.
    ///
    /// # Errors
    /// [`KnownCameraError::Deviation`] if they are not.
    pub fn new(position: Option<f64>, rotation: Option<f64>) -> Result<Self, KnownCameraError> {
        let given = [
            ("position_deviation", position, MOST_POSITION),
            ("rotation_deviation", rotation, MOST_ROTATION),
        ];
        for (field, deviation, most) in given {
            if deviation.is_some_and(|deviation| !(deviation > 0.0 && deviation <= most)) {
                return Err(KnownCameraError::Deviation { field, most });
            }
        }
        Ok(Self { position, rotation })
    }

    fn are_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl KnownCamera {
    /// Checks that the matrices, given as arrays of rows, are a pinhole camera and its pose.
    ///
    /// # Errors
    /// [`KnownCameraError`] if they are not, with a tolerance of 0.001 per entry.
    pub fn new(
        intrinsics: [[f64; 3]; 3],
        extrinsics: [[f64; 4]; 4],
    ) -> Result<Self, KnownCameraError> {
        let intrinsics = Matrix3::from_fn(|row, column| intrinsics[row][column]);
        let extrinsics = Matrix4::from_fn(|row, column| extrinsics[row][column]);
        if !intrinsics.iter().all(|number| number.is_finite()) {
            return Err(KnownCameraError::NotFinite("intrinsics"));
        }
        if !extrinsics.iter().all(|number| number.is_finite()) {
            return Err(KnownCameraError::NotFinite("extrinsics"));
        }
        let (fx, fy) = (intrinsics[(0, 0)], intrinsics[(1, 1)]);
        let zeros = [(0, 1), (1, 0), (2, 0), (2, 1)];
        if fx <= 0.0
            || fy <= 0.0
            || zeros
                .iter()
                .any(|&place| intrinsics[place].abs() > TOLERANCE)
            || (intrinsics[(2, 2)] - 1.0).abs() > TOLERANCE
        {
            return Err(KnownCameraError::Intrinsics);
        }
        let rotation = extrinsics.fixed_view::<3, 3>(0, 0);
        let off = (rotation * rotation.transpose() - Matrix3::identity()).amax();
        let last = extrinsics.row(3) - Matrix4::identity().row(3);
        if off > TOLERANCE || rotation.determinant() < 0.0 || last.amax() > TOLERANCE {
            return Err(KnownCameraError::Extrinsics);
        }
        Ok(Self {
            intrinsics,
            extrinsics,
            deviations: CameraDeviations::default(),
        })
    }

    /// From camera coordinates to the client's world; `None` if its numbers are impossible.
    pub fn camera_to_world(&self) -> Option<Isometry3<f64>> {
        let camera = Camera {
            extrinsics: self.extrinsics,
            intrinsics: self.intrinsics,
            distortion: Distortion::NONE,
            registered: true,
        };
        View::from_camera(&camera).map(|view| view.camera_to_world)
    }

    /// The camera of an image of size `size` that shows a region of this camera's image, whose size
    /// is `source`.
    pub fn of_region(&self, source: FrameSize, region: Region, size: FrameSize) -> Self {
        Self {
            intrinsics: resampled(&self.intrinsics, source, region, size),
            ..*self
        }
    }

    /// The camera of the image of size `source`, where this is that of its region, resampled to
    /// `size`: the inverse of [`of_region`](Self::of_region).
    #[must_use]
    pub fn of_whole(&self, source: FrameSize, region: Region, size: FrameSize) -> Self {
        Self {
            intrinsics: resampled_whole(&self.intrinsics, source, region, size),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTRINSICS: [[f64; 3]; 3] = [[500.0, 0.0, 319.5], [0.0, 510.0, 239.5], [0.0, 0.0, 1.0]];
    const POSE: [[f64; 4]; 4] = [
        [0.0, -1.0, 0.0, 1.0],
        [1.0, 0.0, 0.0, 2.0],
        [0.0, 0.0, 1.0, 3.0],
        [0.0, 0.0, 0.0, 1.0],
    ];

    #[test]
    fn of_region_follows_a_resize_and_a_center_crop() {
        let camera = KnownCamera::new(INTRINSICS, POSE).expect("a camera");
        let half = camera.of_region(
            FrameSize::new(640, 480),
            Region::WHOLE,
            FrameSize::new(320, 240),
        );
        assert!((half.intrinsics[(0, 0)] - 250.0).abs() < 1e-9);
        assert!((half.intrinsics[(1, 1)] - 255.0).abs() < 1e-9);
        // The centre stays the centre.
        assert!((half.intrinsics[(0, 2)] - 159.5).abs() < 1e-9);
        assert!((half.intrinsics[(1, 2)] - 119.5).abs() < 1e-9);

        let region = Region::of_center_crop(FrameSize::new(640, 480), FrameSize::new(600, 480));
        let cropped = camera.of_region(FrameSize::new(640, 480), region, FrameSize::new(600, 480));
        assert!((cropped.intrinsics[(0, 0)] - 500.0).abs() < 1e-9);
        assert!((cropped.intrinsics[(0, 2)] - 299.5).abs() < 1e-9);
        assert!((cropped.intrinsics[(1, 2)] - 239.5).abs() < 1e-9);
        assert_eq!(cropped.extrinsics, camera.extrinsics);
    }

    #[test]
    fn of_whole_undoes_of_region() {
        let camera = KnownCamera::new(INTRINSICS, POSE).expect("a camera");
        let (source, size) = (FrameSize::new(640, 480), FrameSize::new(280, 252));
        let region = Region::of_center_crop(source, FrameSize::new(600, 440));
        let again = camera
            .of_region(source, region, size)
            .of_whole(source, region, size);
        assert!((again.intrinsics - camera.intrinsics).amax() < 1e-9);
        assert_eq!(again.extrinsics, camera.extrinsics);
    }

    #[test]
    fn refuses_invalid_matrices() {
        let with = |row: usize, column: usize, value: f64| {
            let mut pose = POSE;
            pose[row][column] = value;
            KnownCamera::new(INTRINSICS, pose)
        };
        assert_eq!(
            with(0, 0, f64::NAN),
            Err(KnownCameraError::NotFinite("extrinsics"))
        );
        assert_eq!(with(2, 2, -1.0), Err(KnownCameraError::Extrinsics));
        assert_eq!(with(0, 1, -2.0), Err(KnownCameraError::Extrinsics));
        assert_eq!(with(3, 3, 0.0), Err(KnownCameraError::Extrinsics));
        for (row, column, value) in [(0, 0, 0.0), (1, 1, -5.0), (0, 1, 3.0), (2, 2, 2.0)] {
            let mut intrinsics = INTRINSICS;
            intrinsics[row][column] = value;
            let refused = KnownCamera::new(intrinsics, POSE);
            assert_eq!(refused, Err(KnownCameraError::Intrinsics), "{row} {column}");
        }
    }

    #[test]
    fn deviations_are_positive_and_finite() {
        let deviations = CameraDeviations::new(Some(0.02), Some(1.0)).expect("deviations");
        assert_eq!(deviations.position, Some(0.02));
        assert!(CameraDeviations::new(None, None).is_ok());
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(CameraDeviations::new(Some(wrong), None).is_err(), "{wrong}");
            assert!(CameraDeviations::new(None, Some(wrong)).is_err(), "{wrong}");
        }
        let error = CameraDeviations::new(None, Some(181.0)).expect_err("too large");
        let words = "\"rotation_deviation\" must be above 0 and at most 180";
        assert_eq!(error.to_string(), words);
    }
}
