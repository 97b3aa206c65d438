//! What a result says about the cameras that clients know.

use nalgebra::Similarity3;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fit::Misfit;
use super::pair::{AnchorPair, reach};
use super::world::KnownWorld;
use crate::cloud::median;
use crate::model::Scale;

/// How the known cameras of images and a result agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnchorReport {
    /// Images with a known camera that are placed in the result.
    pub images: usize,
    /// Those whose known camera agrees with the result and with most others.
    pub agreeing: usize,
    /// Whether the result has the world of the known cameras.
    pub applied: bool,
    /// Why not; `null` if it has.
    pub reason: Option<Misfit>,
    /// A sentence for people about the reason.
    pub advice: Option<String>,
    /// Median distance between the cameras of the result and the known ones that agree, in the unit of
    /// the known ones.
    pub position_error: Option<f64>,
    /// Median angle between them in degrees.
    pub rotation_error_degrees: Option<f64>,
    /// Units of the known cameras per metre of a metric result, which keeps its own metres; `null` for a
    /// relative scale, whose unit is that of the known cameras.
    pub scale_ratio: Option<f64>,
}

impl AnchorReport {
    /// Of a result in the known world. The pairs have its unit of length.
    pub(crate) fn of(pairs: &[AnchorPair], world: &KnownWorld, scale: Scale) -> Self {
        let centres: Vec<_> = pairs.iter().map(AnchorPair::found_centre).collect();
        let (reach, identity) = (reach(&centres), Similarity3::identity());
        let agreeing = pairs.iter().filter(|pair| pair.agrees(&identity, reach));
        let off: Vec<(f64, f64)> = agreeing.map(|pair| pair.off(&identity)).collect();
        let middle = |part: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = off.iter().map(part).collect();
            median(&mut values)
        };
        Self {
            images: pairs.len(),
            agreeing: off.len(),
            applied: true,
            reason: None,
            advice: None,
            position_error: middle(|(_, distance)| *distance).map(|error| error / world.unit),
            rotation_error_degrees: middle(|(turn, _)| turn.to_degrees()),
            scale_ratio: (scale == Scale::Metric).then(|| world.unit.recip()),
        }
    }

    /// Of a result in a world of its own.
    pub(crate) fn of_misfit(images: usize, misfit: Misfit) -> Self {
        Self {
            images,
            agreeing: 0,
            applied: false,
            reason: Some(misfit),
            advice: Some(misfit.advice().to_owned()),
            position_error: None,
            rotation_error_degrees: None,
            scale_ratio: None,
        }
    }
}
