//! Coordinates in which a model places frames: near the origin, whatever the size of the map.

use nalgebra::Matrix4;

use crate::prediction::Camera;

/// Coordinates whose origin is a camera of the map, with the same unit of length. Models compute in
/// single precision, which is coarse far from the origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalCoordinates {
    /// From the map's world to the local one: the extrinsics of the camera.
    to_local: Matrix4<f64>,
    to_map: Matrix4<f64>,
}

impl LocalCoordinates {
    /// The coordinates of a camera of the map, or `None` if its extrinsics cannot be inverted.
    pub fn of(camera: &Camera) -> Option<Self> {
        let to_local = camera.extrinsics;
        let to_map = to_local.try_inverse()?;
        Some(Self { to_local, to_map })
    }

    /// A camera of the map in local coordinates.
    pub fn to_local(&self, camera: &Camera) -> Camera {
        Camera {
            extrinsics: camera.extrinsics * self.to_map,
            ..camera.clone()
        }
    }

    /// A camera in local coordinates as one of the map.
    pub fn to_map(&self, camera: &Camera) -> Camera {
        Camera {
            extrinsics: camera.extrinsics * self.to_local,
            ..camera.clone()
        }
    }
}
