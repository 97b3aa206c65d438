//! A camera in a result and as the client knows it.

use nalgebra::{Isometry3, Point3, Similarity3, UnitQuaternion, Vector3};

use crate::cloud::median;
use crate::model::{CameraDeviations, KnownCamera};

/// Cameras by which the size of their path is measured, spread over all.
const MEASURED: usize = 64;
/// Largest angle in radians between the rotations of cameras that agree: 8 degrees.
const MOST_TURN: f64 = 0.14;
/// Largest distance between the centres of cameras that agree, relative to the size of their path.
const MOST_SHIFT: f64 = 0.1;
/// Standard deviations that a camera may always be off.
const MOST_DEVIATIONS: f64 = 3.0;

/// A camera of a result that the client knows, too: from camera coordinates to the world of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnchorPair {
    pub found: Isometry3<f64>,
    pub known: Isometry3<f64>,
    /// Of the known one.
    pub deviations: CameraDeviations,
}

impl AnchorPair {
    /// `None` if the numbers of the known camera are impossible.
    pub fn new(found: Isometry3<f64>, known: &KnownCamera) -> Option<Self> {
        Some(Self {
            found,
            known: known.camera_to_world()?,
            deviations: known.deviations,
        })
    }

    /// The same with lengths of the known world in another unit.
    #[must_use]
    pub(crate) fn with_unit(mut self, unit: f64) -> Self {
        self.known.translation.vector *= unit;
        self.deviations.position = self.deviations.position.map(|deviation| deviation * unit);
        self
    }

    /// The same with the result moved.
    #[must_use]
    pub(crate) fn moved(mut self, by: &Similarity3<f64>) -> Self {
        self.found = (by * self.found).isometry;
        self
    }

    /// The rotation from the result's world to the known one that this camera alone gives.
    pub(super) fn rotation(&self) -> UnitQuaternion<f64> {
        self.known.rotation * self.found.rotation.inverse()
    }

    /// The translation that it gives with a rotation and a scale.
    pub(super) fn translation(&self, rotation: &UnitQuaternion<f64>, scale: f64) -> Vector3<f64> {
        self.known.translation.vector - rotation * self.found.translation.vector * scale
    }

    pub(crate) fn found_centre(&self) -> Point3<f64> {
        self.found.translation.vector.into()
    }

    pub(crate) fn known_centre(&self) -> Point3<f64> {
        self.known.translation.vector.into()
    }

    /// How far the known camera is from where a similarity takes the one of the result: an angle in
    /// radians, and a distance in the known world.
    pub(crate) fn off(&self, similarity: &Similarity3<f64>) -> (f64, f64) {
        let turn = self.rotation().angle_to(&similarity.isometry.rotation);
        let centre = similarity * self.found_centre();
        (turn, nalgebra::distance(&centre, &self.known_centre()))
    }

    /// Whether the camera agrees with a similarity. `reach` is the size of the path in the result's world.
    pub(crate) fn agrees(&self, similarity: &Similarity3<f64>, reach: f64) -> bool {
        let (turn, distance) = self.off(similarity);
        let given = self.deviations;
        let most_turn = given.rotation.unwrap_or(0.0).to_radians() * MOST_DEVIATIONS;
        let most_shift = given.position.unwrap_or(0.0) * MOST_DEVIATIONS;
        turn <= most_turn.max(MOST_TURN)
            && distance <= most_shift.max(MOST_SHIFT * reach * similarity.scaling())
    }
}

/// At most `count` of the values, spread evenly.
pub(super) fn spread_evenly<T: Copy>(values: &[T], count: usize) -> Vec<T> {
    let chosen = values.len().min(count);
    let at = |index: usize| values[index * values.len() / chosen];
    (0..chosen).map(at).collect()
}

/// The size of the path of cameras: the distance that three quarters of all pairs do not exceed, so that
/// a few that are far away do not count. 0 for fewer than two.
pub(crate) fn reach(centres: &[Point3<f64>]) -> f64 {
    let centres = spread_evenly(centres, MEASURED);
    let mut distances = Vec::new();
    for (index, one) in centres.iter().enumerate() {
        let others = centres[index + 1..].iter();
        distances.extend(others.map(|other| nalgebra::distance(one, other)));
    }
    // The upper half's median, of one pair its distance.
    distances.sort_by(f64::total_cmp);
    let half = distances.len() / 2;
    median(&mut distances[half..]).unwrap_or(0.0)
}
