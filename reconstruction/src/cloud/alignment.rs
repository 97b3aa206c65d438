//! How a result was aligned with the session's world, for clients.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// How a result was aligned with the session's world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Alignment {
    /// The first result, which defines the world.
    Origin,
    /// By points that earlier results have, too.
    Points(AlignmentQuality),
    /// By cameras that earlier results have, too, because too few points agree.
    Cameras(AlignmentQuality),
    /// Not aligned: the result does not overlay earlier ones. Its first camera has the pose of the
    /// session's first camera, and its scale makes the median depths equal. Later results are
    /// aligned with this one.
    Unaligned { reason: Unaligned },
}

/// How well a result fits the session's world.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlignmentQuality {
    /// Registered frames that both have in common.
    pub common_frames: usize,
    /// Points that both have in common.
    pub correspondences: usize,
    /// Correspondences whose deviation is below 5 % of their distance from the camera.
    pub inliers: usize,
    /// Median deviation of the inliers, as a fraction of their distance from the camera; `null` in
    /// JSON where there are none.
    #[serde(deserialize_with = "number_or_null")]
    pub median_error: f64,
    /// Median angle between the same cameras in both, in degrees.
    pub rotation_error_degrees: f64,
}

/// Why a result could not be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unaligned {
    /// The model registered no frame.
    NoCamera,
    /// No registered frame is known from earlier results.
    NoCommonFrame,
    /// Common frames contradict each other, or do not determine the scale.
    Inconsistent,
}

/// JSON has no infinity and no NaN: both are written as `null`, which is read as NaN.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = Option::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::NAN))
}
