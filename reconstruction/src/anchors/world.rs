//! Brings the prediction of one run into the world of known cameras.

use nalgebra::Similarity3;
use serde::{Deserialize, Serialize};

use super::fit::{Misfit, WorldFit};
use super::pair::{AnchorPair, reach};
use super::report::AnchorReport;
use crate::cloud::{View, is_known, median};
use crate::model::{KnownCamera, Metadata, Scale};
use crate::prediction::Prediction;

/// The path of cameras that gives a unit of length, relative to the median depth of the scene.
const SHORTEST_PATH: f64 = 0.01;
/// The same where the model was given the cameras, which have no noise then.
const SHORTEST_GIVEN: f64 = 1e-4;
/// Pixels that the median depth is measured with.
const DEPTH_PIXELS: usize = 1 << 16;
/// Units of length that depths in single precision bear.
const UNITS: std::ops::Range<f64> = 1e-12..1e12;

/// How lengths of a world relate to those of the known cameras, whose world it is but for its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnownWorld {
    /// The length of the clients' unit: 1, but for a metric result, which stays in metres.
    pub unit: f64,
    /// The length of the unit that the model computed in.
    pub model_unit: f64,
}

impl KnownWorld {
    /// The world of a model that was given the cameras.
    pub const OF_CLIENT: Self = Self {
        unit: 1.0,
        model_unit: 1.0,
    };

    /// What a fit makes of the known world, and how the result moves there.
    pub(crate) fn of(fit: &WorldFit, scale: Scale) -> (Self, Similarity3<f64>) {
        let found = fit.similarity;
        match scale {
            Scale::Relative => {
                let world = Self {
                    unit: 1.0,
                    model_unit: found.scaling(),
                };
                (world, found)
            }
            // Its metres stay: only where it lies and how it is turned is known better.
            Scale::Metric => {
                let unit = found.scaling().recip();
                let world = Self {
                    unit,
                    model_unit: 1.0,
                };
                let translation = found.isometry.translation.vector * unit;
                let rotation = found.isometry.rotation;
                let movement = Similarity3::from_parts(translation.into(), rotation, 1.0);
                (world, movement)
            }
        }
    }
}

/// Brings a prediction into the world of the known cameras of some of its frames, one entry per frame: its
/// cameras and, unless the model's unit is the metre, its depth. Otherwise it stays as it is, and the report
/// says why. A model that was given the cameras of all frames has placed them there itself. No report if no
/// frame has a known camera.
pub fn adopt_known_world(
    prediction: &mut Prediction,
    known: &[Option<KnownCamera>],
    model: &Metadata,
) -> (Option<KnownWorld>, Option<AnchorReport>) {
    if known.iter().all(Option::is_none) {
        return (None, None);
    }
    let scale = model.scale;
    let was_given = model.poses && scale == Scale::Relative && known.iter().all(Option::is_some);
    let cameras = prediction.cameras.iter().zip(known);
    let pairs: Vec<AnchorPair> = cameras
        .filter_map(|(camera, known)| {
            let found = View::from_camera(camera)?.camera_to_world;
            AnchorPair::new(found, known.as_ref()?)
        })
        .collect();
    let depth = typical_depth(prediction).unwrap_or(0.0);
    if was_given {
        let centres: Vec<_> = pairs.iter().map(AnchorPair::found_centre).collect();
        return match reach(&centres) > SHORTEST_GIVEN * depth {
            true => {
                let world = KnownWorld::OF_CLIENT;
                (Some(world), Some(AnchorReport::of(&pairs, &world, scale)))
            }
            false => (
                None,
                Some(AnchorReport::of_misfit(pairs.len(), Misfit::OnePlace)),
            ),
        };
    }
    let fit = WorldFit::of(&pairs, SHORTEST_PATH * depth).and_then(|fit| {
        let bearable = UNITS.contains(&fit.similarity.scaling());
        bearable.then_some(fit).ok_or(Misfit::OnePlace)
    });
    match fit {
        Ok(fit) => {
            let (world, movement) = KnownWorld::of(&fit, scale);
            prediction.transform(&movement);
            let moved = pairs
                .into_iter()
                .map(|pair| pair.moved(&movement).with_unit(world.unit));
            let moved: Vec<AnchorPair> = moved.collect();
            (Some(world), Some(AnchorReport::of(&moved, &world, scale)))
        }
        Err(misfit) => (None, Some(AnchorReport::of_misfit(pairs.len(), misfit))),
    }
}

/// Median of the known depths.
fn typical_depth(prediction: &Prediction) -> Option<f64> {
    let step = prediction.depth.len().div_ceil(DEPTH_PIXELS).max(1);
    let maps = prediction.confidence.iter().zip(&prediction.depth);
    let known = maps.step_by(step);
    let known = known.filter(|(confidence, depth)| is_known(**confidence, **depth));
    let mut depths: Vec<f64> = known.map(|(_, depth)| f64::from(*depth)).collect();
    median(&mut depths)
}

#[cfg(test)]
mod tests;
