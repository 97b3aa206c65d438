//! The report on the quality of a result, for clients.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reason::QualityReason;
use super::verdict::Verdict;

/// Whether a result can be relied on, and if not, why and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// `failed` means that there is no point cloud.
    pub verdict: Verdict,
    /// What is wrong with the result or with some of its images; each at most once.
    pub reasons: Vec<QualityReason>,
    /// What to do about each of the reasons, in sentences for people.
    pub advice: Vec<String>,
    /// All images that the request covered, in the order in which they were sent.
    pub frames: Vec<FrameQuality>,
    /// Connected pieces of frames that the model found. Only one of them is in the point cloud.
    pub pieces: usize,
    /// Share of the pixels of the used images whose depth is known: confidence at least 1.05.
    pub known_share: f32,
    /// Median of the used images' reprojection errors in pixels; `null` if the model does not say.
    pub reprojection_error: Option<f32>,
    /// Median of the used images' parallax in degrees; `null` if the model does not say.
    pub parallax_degrees: Option<f32>,
    /// Relative standard deviation of the focal length; `null` if the model does not say.
    pub focal_uncertainty: Option<f32>,
    /// Relative standard deviation of depth; `null` if the model does not say.
    pub depth_uncertainty: Option<f32>,
}

/// What one image contributes to a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FrameQuality {
    /// The image's name.
    pub name: String,
    /// Whether it contributes: it has a camera and pixels whose depth is known.
    pub used: bool,
    /// Why it is left out or doubtful; `null` if nothing is wrong with it.
    pub reason: Option<QualityReason>,
    /// Index of its connected piece: 0 is the one in the point cloud, then the largest first;
    /// `null` if it belongs to none.
    pub piece: Option<u32>,
    /// Share of its pixels whose depth is known; `null` if the model did not get it.
    pub known_share: Option<f32>,
    /// Points that the model found again in it; `null` if the model does not say.
    pub observations: Option<u64>,
    /// Their median reprojection error in pixels; `null` if the model does not say.
    pub reprojection_error: Option<f32>,
    /// Median angle between the rays to a point in degrees; `null` if the model does not say.
    pub parallax_degrees: Option<f32>,
}

/// The verdict on a result and its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QualitySummary {
    pub verdict: Verdict,
    /// What is wrong with the result or with some of its images.
    pub reasons: Vec<QualityReason>,
}

impl Quality {
    /// The verdict and the reasons alone.
    pub fn summary(&self) -> QualitySummary {
        QualitySummary {
            verdict: self.verdict,
            reasons: self.reasons.clone(),
        }
    }

    /// Number of images that contribute.
    pub fn used(&self) -> usize {
        self.frames.iter().filter(|frame| frame.used).count()
    }
}
