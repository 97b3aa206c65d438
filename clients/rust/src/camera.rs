//! Where an image was taken, and how it was seen.

use serde_json::Value;

use crate::error::Error;
use crate::glb::{Node, damaged};
use crate::matrix::{Matrix3, Matrix4, apply, inverse_of_pose, with_axes_of_images};
use crate::poses::FramePose;

/// The camera of an image. Its axes are x right, y down, z forward.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// The number of the image, the same in all results of a session.
    pub number: u64,
    /// The name of the image.
    pub name: String,
    /// A rotation and a translation: from the camera to GLB coordinates.
    pub camera_to_glb: Matrix4,
    /// The camera to pixels of the processed image. (0, 0) is the centre of the top left pixel.
    pub intrinsics: Matrix3,
    /// The radial distortion, k1 and k2.
    pub distortion: [f64; 2],
}

impl Camera {
    pub(crate) fn of_pose(pose: FramePose) -> Result<Self, Error> {
        let place = pose.camera_to_glb.ok_or_else(|| {
            Error::InvalidResponse(format!("frame {} of an update has no place", pose.frame))
        })?;
        Ok(Self {
            number: pose.frame,
            name: pose.name,
            camera_to_glb: place,
            intrinsics: pose.intrinsics,
            distortion: pose.distortion,
        })
    }

    pub(crate) fn of_node(node: &Node) -> Result<Self, Error> {
        let field = |name: &str| node.extras.get(name).cloned().unwrap_or(Value::Null);
        let wrong = |error: serde_json::Error| damaged(&format!("a camera: {error}"));
        let distortion: Option<_> = serde_json::from_value(field("distortion")).map_err(wrong)?;
        Ok(Self {
            number: serde_json::from_value(field("id")).map_err(wrong)?,
            name: node.name.clone(),
            camera_to_glb: with_axes_of_images(&node.transform()),
            intrinsics: serde_json::from_value(field("intrinsics")).map_err(wrong)?,
            distortion: distortion.unwrap_or_default(),
        })
    }

    /// Where the camera is.
    #[must_use]
    pub fn center(&self) -> [f64; 3] {
        let [[.., x], [.., y], [.., z], _] = self.camera_to_glb;
        [x, y, z]
    }

    /// A rotation and a translation: from GLB coordinates to the camera.
    #[must_use]
    pub fn extrinsics(&self) -> Matrix4 {
        inverse_of_pose(&self.camera_to_glb)
    }

    /// The pixel and the depth at which the camera sees a point; none if it is behind the camera.
    #[must_use]
    pub fn project(&self, position: [f64; 3]) -> Option<([f64; 2], f64)> {
        let [x, y, depth] = apply(&self.extrinsics(), position);
        if depth <= 0.0 {
            return None;
        }
        let (x, y) = (x / depth, y / depth);
        let square = x * x + y * y;
        let [k1, k2] = self.distortion;
        let factor = 1.0 + k1 * square + k2 * square * square;
        let pixel = |row: [f64; 3]| row[0] * factor * x + row[1] * factor * y + row[2];
        Some((
            [pixel(self.intrinsics[0]), pixel(self.intrinsics[1])],
            depth,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::IDENTITY;

    #[test]
    fn points_are_seen_where_they_are() {
        let mut camera = Camera {
            number: 0,
            name: String::new(),
            camera_to_glb: IDENTITY,
            intrinsics: [[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]],
            distortion: [0.0, 0.0],
        };
        camera.camera_to_glb[0][3] = 5.0;
        assert_eq!(camera.center(), [5.0, 0.0, 0.0]);
        assert_eq!(camera.project([6.0, 2.0, 2.0]), Some(([100.0, 140.0], 2.0)));
        assert_eq!(camera.project([6.0, 2.0, -2.0]), None);
        camera.distortion = [0.5, 0.0];
        let (pixel, _) = camera.project([6.0, 0.0, 1.0]).unwrap();
        assert_eq!(pixel, [200.0, 40.0]);
    }
}
