//! The similarity from the world of a result to that of known cameras.
//!
//! It is found in parts, as a join of windows is: the rotation is a robust mean of those that the cameras
//! alone give, the scale a median of the ratios of the distances between them, and the translation a
//! median with that rotation and scale. A similarity of the centres would leave the roll open where these
//! are on a line. Which cameras agree is found before: each two of them give a similarity, and the one that
//! most agree with counts.

use nalgebra::{Similarity3, UnitQuaternion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::pair::{AnchorPair, reach, spread_evenly};
use crate::cloud::{mean_rotation, mean_vector, median, middle_of};

/// Fewer cameras have no direction in common with their world.
const LEAST_AGREEING: usize = 2;
/// Cameras that similarities are tried of, spread over all.
const TRIED: usize = 64;
/// Cameras that agree by which the similarity is found, spread over all.
const COUNTED: usize = 256;
/// Distance between two cameras from which on they say something about the scale, relative to the size
/// of the path.
const LEAST_DISTANCE: f64 = 0.4;
/// Times that the cameras that agree are found anew.
const REFINEMENTS: usize = 2;
/// Standard deviations of a position that the path of the cameras must be longer than.
const LEAST_PATH: f64 = 3.0;

/// Why known cameras do not say where a result lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Misfit {
    /// Fewer than two images with a known camera could be registered.
    TooFew,
    /// The cameras are so close together that they give no unit of length.
    OnePlace,
    /// At most half of the cameras agree with each other and with the result.
    Contradictory,
}

impl Misfit {
    /// What a user can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::TooFew => {
                "too few photos with a known camera could be placed, so the result has a world of its own: \
                 send the cameras of two or more photos that overlap with others"
            }
            Self::OnePlace => {
                "the known cameras are too close together to give a unit of length, so the result keeps its \
                 own: send the cameras of photos from different places"
            }
            Self::Contradictory => {
                "most of the known cameras do not agree with the photos, so the result has a world of its \
                 own: check that extrinsics map the world to the camera, with x right, y down and z forward"
            }
        }
    }
}

/// Where a result lies in the world of the known cameras.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorldFit {
    /// From the result's world to the known one.
    pub similarity: Similarity3<f64>,
    /// Cameras that agree with it.
    pub agreeing: usize,
}

impl WorldFit {
    /// The similarity that more than half of the cameras agree about. `shortest` is the path of the
    /// cameras below which it is noise, in the result's unit.
    ///
    /// # Errors
    /// [`Misfit`] if there is none.
    pub fn of(pairs: &[AnchorPair], shortest: f64) -> Result<Self, Misfit> {
        if pairs.len() < LEAST_AGREEING {
            return Err(Misfit::TooFew);
        }
        let centres: Vec<_> = pairs.iter().map(AnchorPair::found_centre).collect();
        let reach = reach(&centres);
        if !reach.is_normal() || reach <= shortest {
            return Err(Misfit::OnePlace);
        }
        let tried = spread_evenly(pairs, TRIED);
        let mut similarity = best_of_two(&tried, reach).ok_or(Misfit::Contradictory)?;
        let mut agreeing = Vec::new();
        for _ in 0..REFINEMENTS {
            let agree = pairs.iter().filter(|pair| pair.agrees(&similarity, reach));
            agreeing = agree.copied().collect();
            similarity = in_parts(&agreeing, reach).ok_or(Misfit::Contradictory)?;
        }
        if agreeing.len() < LEAST_AGREEING || 2 * agreeing.len() <= pairs.len() {
            return Err(Misfit::Contradictory);
        }
        let given = agreeing.iter().filter_map(|pair| pair.deviations.position);
        let deviation = median(&mut given.collect::<Vec<f64>>()).unwrap_or(0.0);
        if similarity.scaling() * reach <= LEAST_PATH * deviation {
            return Err(Misfit::OnePlace);
        }
        Ok(Self {
            similarity,
            agreeing: agreeing.len(),
        })
    }
}

/// Of the similarities that two cameras give, the one that most agree with; of several the one that fits
/// better.
fn best_of_two(pairs: &[AnchorPair], reach: f64) -> Option<Similarity3<f64>> {
    let mut best: Option<(usize, f64, Similarity3<f64>)> = None;
    for (index, one) in pairs.iter().enumerate() {
        for other in &pairs[index + 1..] {
            let Some(similarity) = of_two(one, other, reach) else {
                continue;
            };
            let agree = pairs.iter().filter(|pair| pair.agrees(&similarity, reach));
            let off = agree.clone().map(|pair| pair.off(&similarity).1);
            let (count, off) = (agree.count(), off.sum::<f64>() / similarity.scaling());
            let is_better = best.is_none_or(|(most, least, _)| (count, -off) > (most, -least));
            if is_better {
                best = Some((count, off, similarity));
            }
        }
    }
    best.map(|(_, _, similarity)| similarity)
}

/// The similarity that two cameras give, with the rotation between theirs.
fn of_two(one: &AnchorPair, other: &AnchorPair, reach: f64) -> Option<Similarity3<f64>> {
    let scale = ratio(one, other, reach)?.exp();
    let [a, b] = [one, other].map(AnchorPair::rotation);
    let rotation = a.try_slerp(&b, 0.5, f64::EPSILON).unwrap_or(a);
    let [a, b] = [one, other].map(|pair| pair.translation(&rotation, scale));
    similarity((a + b) / 2.0, rotation, scale)
}

/// The logarithm of the ratio of the distances between two cameras in both worlds.
fn ratio(one: &AnchorPair, other: &AnchorPair, reach: f64) -> Option<f64> {
    let found = nalgebra::distance(&one.found_centre(), &other.found_centre());
    let known = nalgebra::distance(&one.known_centre(), &other.known_centre());
    let ratio = (known / found).ln();
    (found >= LEAST_DISTANCE * reach && ratio.is_finite()).then_some(ratio)
}

fn similarity(
    translation: nalgebra::Vector3<f64>,
    rotation: UnitQuaternion<f64>,
    scale: f64,
) -> Option<Similarity3<f64>> {
    let is_finite = translation.iter().all(|number| number.is_finite());
    (is_finite && scale.is_normal())
        .then(|| Similarity3::from_parts(translation.into(), rotation, scale))
}

/// Rotation, scale and translation of cameras that agree, one after another.
fn in_parts(agreeing: &[AnchorPair], reach: f64) -> Option<Similarity3<f64>> {
    let pairs = spread_evenly(agreeing, COUNTED);
    let rotations: Vec<_> = pairs.iter().map(AnchorPair::rotation).collect();
    let rotation = mean_rotation(&rotations)?;
    let mut ratios = Vec::new();
    for (index, one) in pairs.iter().enumerate() {
        let others = pairs[index + 1..].iter();
        ratios.extend(others.filter_map(|other| ratio(one, other, reach)));
    }
    let scale = middle_of(&mut ratios)?.exp();
    let translations: Vec<_> = pairs
        .iter()
        .map(|pair| pair.translation(&rotation, scale))
        .collect();
    similarity(mean_vector(&translations)?, rotation, scale)
}

#[cfg(test)]
mod tests;
