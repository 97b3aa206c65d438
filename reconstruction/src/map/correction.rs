//! How placed frames move when more is known about them.

use std::collections::BTreeMap;

use nalgebra::{Isometry3, Matrix3, Similarity3};
use serde::{Deserialize, Serialize};

use super::frames::MapFrame;
use crate::cloud::View;
use crate::geometry::Distortion;
use crate::prediction::Camera;

/// Two lenses are the same if their intrinsics differ by this share at most.
const SAME_LENS: f64 = 1e-3;

/// Where a placed frame belongs, as an adjustment of the map has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameCorrection {
    /// From camera coordinates to the map's world.
    pub camera_to_world: Isometry3<f64>,
    pub intrinsics: Matrix3<f64>,
    pub distortion: Distortion,
    /// The frame's depths, as multiples of those before.
    pub depth_factor: f64,
}

/// Corrections by the numbers of the frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Corrections(BTreeMap<u64, FrameCorrection>);

impl FrameCorrection {
    /// `camera` is the corrected one. `None` if it is not registered or its numbers are impossible.
    pub fn new(camera: &Camera, depth_factor: f64) -> Option<Self> {
        let view = View::from_camera(camera)?;
        (depth_factor.is_normal() && depth_factor > 0.0).then_some(Self {
            camera_to_world: view.camera_to_world,
            intrinsics: view.intrinsics,
            distortion: view.distortion,
            depth_factor,
        })
    }

    /// That of a frame where all of the map moves.
    pub(super) fn of_all(view: &View, by: &Similarity3<f64>) -> Self {
        let moved = by * view.camera_to_world;
        Self {
            camera_to_world: moved.isometry,
            intrinsics: view.intrinsics,
            distortion: view.distortion,
            depth_factor: moved.scaling(),
        }
    }

    /// Between this correction of a frame and another one: this one at 0, the other at 1.
    fn between(self, other: Self, share: f64) -> Self {
        let [one, end] = [&self, &other].map(|correction| correction.camera_to_world);
        let rotation = one
            .rotation
            .try_slerp(&end.rotation, share, f64::EPSILON)
            .unwrap_or(one.rotation);
        let translation = one.translation.vector.lerp(&end.translation.vector, share);
        Self {
            camera_to_world: Isometry3::from_parts(translation.into(), rotation),
            depth_factor: self.depth_factor.powf(1.0 - share) * other.depth_factor.powf(share),
            ..if share < 0.5 { self } else { other }
        }
    }
}

impl Corrections {
    /// Adds the correction of a frame.
    pub fn insert(&mut self, number: u64, correction: FrameCorrection) {
        self.0.insert(number, correction);
    }

    /// Whether nothing is corrected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A correction for each placed frame: one that has none moves with the corrected frames before and
    /// after it, by their numbers.
    pub(super) fn for_all(&self, frames: &BTreeMap<u64, MapFrame>) -> Self {
        let moved: BTreeMap<u64, Moved> = self
            .0
            .iter()
            .filter_map(|(number, after)| {
                let before = frames.get(number)?.view()?;
                Some((*number, Moved { before, after }))
            })
            .collect();
        let all = frames.iter().filter_map(|(&number, frame)| {
            if let Some(moved) = moved.get(&number) {
                return Some((number, moved.after.clone()));
            }
            let view = frame.view()?;
            let correction = match (
                moved.range(..number).next_back(),
                moved.range(number..).next(),
            ) {
                (Some((begin, one)), Some((end, other))) => {
                    let share = (number - begin) as f64 / (end - begin) as f64;
                    one.carry(&view).between(other.carry(&view), share)
                }
                (Some((_, only)), None) | (None, Some((_, only))) => only.carry(&view),
                (None, None) => return None,
            };
            Some((number, correction))
        });
        Self(all.collect())
    }

    /// Multiplies the depths of a corrected frame once more.
    pub(super) fn scale_depth(&mut self, number: u64, factor: f64) {
        if let Some(correction) = self.0.get_mut(&number) {
            correction.depth_factor *= factor;
        }
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = (u64, FrameCorrection)> {
        self.0.into_iter()
    }
}

/// A corrected frame.
struct Moved<'a> {
    before: View,
    after: &'a FrameCorrection,
}

impl Moved<'_> {
    /// The correction of a frame that moves with this one. If it has the same lens, it gets the
    /// corrected one, too.
    fn carry(&self, view: &View) -> FrameCorrection {
        let factor = Similarity3::from_scaling(self.after.depth_factor);
        let movement = self.after.camera_to_world * factor * self.before.camera_to_world.inverse();
        let moved = movement * view.camera_to_world;
        let same_lens = (view.intrinsics - self.before.intrinsics).amax()
            <= SAME_LENS * self.before.intrinsics.amax();
        let (intrinsics, distortion) = match same_lens {
            true => (self.after.intrinsics, self.after.distortion),
            false => (view.intrinsics, view.distortion),
        };
        FrameCorrection {
            camera_to_world: moved.isometry,
            intrinsics,
            distortion,
            depth_factor: moved.scaling(),
        }
    }
}
