//! What is said about how a result came into the session's world.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// How a result came into the session's world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Alignment {
    /// The world begins with this result.
    Origin,
    /// By points that an earlier result has, too.
    Points(AlignmentQuality),
    /// By cameras that an earlier result has, too, because too few points agree.
    Cameras(AlignmentQuality),
    /// Not at all: the result does not overlay with earlier ones. Its first camera stands where the
    /// session's first camera stood, at a scale that makes its median depth equal; later results
    /// are aligned with this one.
    Unaligned { reason: Unaligned },
}

/// How well a result and the session's world agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlignmentQuality {
    /// Registered frames that both have.
    pub common_frames: usize,
    /// Points that both have.
    pub correspondences: usize,
    /// Correspondences that agree within 5 % of their distance from the camera.
    pub inliers: usize,
    /// Median deviation of the inliers, as a fraction of their distance from the camera; `null` in
    /// JSON where there are none.
    #[serde(deserialize_with = "number_or_null")]
    pub median_error: f64,
    /// Median angle between the cameras of both, in degrees.
    pub rotation_error_degrees: f64,
}

/// Why a result could not be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unaligned {
    /// The model could not place a single frame.
    NoCamera,
    /// No frame that the model could place is known from earlier results.
    NoCommonFrame,
    /// Common frames contradict each other, or leave the scale open.
    Inconsistent,
}

/// JSON has no NaN: it is written as `null`.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = Option::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::NAN))
}
