//! Where the frames of a session are.

use serde::{Deserialize, Deserializer, Serialize};

use crate::matrix::{Matrix3, Matrix4};

/// Where a frame is. A frame is an image that the model has got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FramePose {
    /// The number of the frame, the same in all messages of a session.
    pub frame: u64,
    /// The index of its image among those of the session.
    pub image: usize,
    /// The name of its image.
    pub name: String,
    /// The run of the model that placed it, or tried to; none without a map.
    pub chunk: Option<u64>,
    /// Whether it could be placed. If not, there are no transforms, and the lens is meaningless.
    pub placed: bool,
    /// From the camera (x right, y down, z forward) to GLB coordinates.
    pub camera_to_glb: Option<Matrix4>,
    /// From the coordinates of the frame's points to GLB coordinates.
    pub points_to_glb: Option<Matrix4>,
    /// The camera to pixels of the processed image.
    #[serde(deserialize_with = "lens")]
    pub intrinsics: Matrix3,
    /// The radial distortion, k1 and k2.
    #[serde(deserialize_with = "distortion")]
    pub distortion: [f64; 2],
}

/// JSON has no numbers that are not finite: a meaningless lens may have `null` in their place.
fn lens<'de, D: Deserializer<'de>>(from: D) -> Result<Matrix3, D::Error> {
    let rows = <[[Option<f64>; 3]; 3]>::deserialize(from)?;
    Ok(rows.map(|row| row.map(|value| value.unwrap_or(f64::NAN))))
}

fn distortion<'de, D: Deserializer<'de>>(from: D) -> Result<[f64; 2], D::Error> {
    let values = <[Option<f64>; 2]>::deserialize(from)?;
    Ok(values.map(|value| value.unwrap_or(f64::NAN)))
}
