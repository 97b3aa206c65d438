//! Coordinates in which a model places frames: near the origin, whatever the size of the map.

use nalgebra::Matrix4;

#[cfg(doc)]
use super::frames::Map;
use crate::prediction::{Camera, Prediction};

/// Coordinates whose origin is a camera of the map, in the unit of length that the model has chosen.
/// Models compute in single precision, which is coarse far from the origin, and with limits that suit
/// their own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalCoordinates {
    /// From the map's world to the local one, without its unit: the extrinsics of the camera.
    to_local: Matrix4<f64>,
    to_map: Matrix4<f64>,
    /// The length of the model's unit in the map.
    unit: f64,
}

impl LocalCoordinates {
    /// The coordinates of a camera of the map, or `None` if its extrinsics cannot be inverted. `unit` is
    /// the [model's](Map::model_unit).
    pub fn of(camera: &Camera, unit: f64) -> Option<Self> {
        let to_local = camera.extrinsics;
        let to_map = to_local.try_inverse()?;
        Some(Self {
            to_local,
            to_map,
            unit,
        })
    }

    /// A camera of the map in local coordinates.
    pub fn to_local(&self, camera: &Camera) -> Camera {
        Camera {
            extrinsics: with_unit(camera.extrinsics * self.to_map, self.unit.recip()),
            ..camera.clone()
        }
    }

    /// A camera in local coordinates as one of the map.
    pub fn to_map(&self, camera: &Camera) -> Camera {
        Camera {
            extrinsics: with_unit(camera.extrinsics, self.unit) * self.to_local,
            ..camera.clone()
        }
    }

    /// Whether depths in local coordinates are not those of the map.
    pub fn has_own_unit(&self) -> bool {
        self.unit != 1.0
    }

    /// Brings a prediction in local coordinates into those of the map.
    pub fn bring_to_map(&self, prediction: &mut Prediction) {
        if self.has_own_unit() {
            let unit = self.unit as f32;
            for depth in &mut prediction.depth {
                *depth *= unit;
            }
        }
        for camera in &mut prediction.cameras {
            *camera = self.to_map(camera);
        }
    }
}

/// Extrinsics with another unit of length.
fn with_unit(mut extrinsics: Matrix4<f64>, unit: f64) -> Matrix4<f64> {
    for row in 0..3 {
        extrinsics[(row, 3)] *= unit;
    }
    extrinsics
}
