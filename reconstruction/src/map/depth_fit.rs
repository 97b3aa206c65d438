//! Whether the depths of frames fit the cameras of the map.
//!
//! The depths of a frame were found with the cameras that its window had. A correction moves cameras by what
//! all runs say, and scales the depths of a frame as its surroundings change. If the window's cameras
//! contradicted each other, that scale is wrong. Features that a run has followed over several frames tell
//! the right one: the corrected cameras say how far away they are, and the frame's depths what it took them to be.

use std::collections::BTreeMap;

use nalgebra::{Matrix3, Point3, Unit, Vector3};

use super::correction::Corrections;
use super::frames::Map;
use super::joined::{KnownDepth, SourceOfDepth};
use crate::cloud::{View, is_known, median};
use crate::prediction::Links;

/// Least angle in radians between two of the rays to a feature: 3 degrees.
const LEAST_ANGLE: f64 = 0.052;

/// Largest distance of a feature from its rays, as a share of its distance from the camera.
const LARGEST_MISS: f64 = 0.005;

/// Features that tell the scale of a frame at least.
const LEAST_FEATURES: usize = 12;

/// Depths that are off by a smaller share stay: features are not more exact.
const SMALLEST_CHANGE: f64 = 0.01;

/// A map after a correction, whose depths may not fit its cameras.
#[derive(Debug)]
pub struct DepthFit {
    map: Map,
    corrections: Corrections,
    /// What the depths of frames have to be multiplied by.
    factors: BTreeMap<u64, f64>,
}

/// A feature as a frame sees it.
struct Sighting {
    number: u64,
    x: f64,
    y: f64,
    centre: Point3<f64>,
    ray: Unit<Vector3<f64>>,
}

impl DepthFit {
    /// The map after these corrections.
    pub fn new(map: &Map, corrections: &Corrections) -> Self {
        let mut corrected = map.clone();
        corrected.correct(corrections);
        Self {
            corrections: corrections.for_all(&map.frames),
            map: corrected,
            factors: BTreeMap::new(),
        }
    }

    /// Looks at the frames of a chunk: `run` are the numbers of the frames of its run, and `links` what
    /// that says about them.
    ///
    /// # Errors
    /// That of the source.
    pub fn look<S: SourceOfDepth>(
        &mut self,
        chunk: usize,
        run: &[u64],
        links: &Links,
        source: &S,
    ) -> Result<(), S::Error> {
        let mut features: BTreeMap<u64, Vec<(f64, f64, f64)>> = BTreeMap::new();
        for sightings in self.tracks(run, links).into_values() {
            let Some(point) = intersection(&sightings) else {
                continue;
            };
            for seen in &sightings {
                let depth = self.depth_of(seen.number, &point);
                let of_frame = features.entry(seen.number).or_default();
                of_frame.extend(depth.map(|depth| (seen.x, seen.y, depth)));
            }
        }
        for (number, features) in features {
            let frame = self.map.frame(number);
            let place = self.map.place_with_maps(number);
            let (Some(frame), Some(place)) = (frame, place.filter(|place| place.chunk == chunk))
            else {
                continue;
            };
            if features.len() < LEAST_FEATURES {
                continue;
            }
            let known = source.depth(place)?;
            let factor = self.factor(&known, &features, frame.depth_factor);
            if let Some(factor) = factor.filter(|factor| (factor - 1.0).abs() > SMALLEST_CHANGE) {
                self.factors.insert(number, factor);
            }
        }
        Ok(())
    }

    /// Numbers of the frames whose depths do not fit.
    pub fn misfits(&self) -> usize {
        self.factors.len()
    }

    /// The corrections with depths that fit. If there are any others, they are of all frames: one that is
    /// scaled for itself must not carry its neighbours.
    pub fn corrections(self, before: Corrections) -> Corrections {
        if self.factors.is_empty() {
            return before;
        }
        let mut all = self.corrections;
        for (number, factor) in self.factors {
            all.scale_depth(number, factor);
        }
        all
    }

    /// What the run has followed, by the number of the track.
    fn tracks(&self, run: &[u64], links: &Links) -> BTreeMap<usize, Vec<Sighting>> {
        let views: Vec<Option<View>> = run
            .iter()
            .map(|number| self.map.frame(*number)?.view())
            .collect();
        let mut tracks: BTreeMap<usize, Vec<Sighting>> = BTreeMap::new();
        for link in links.iter() {
            let view = views.get(link.frame).and_then(Option::as_ref);
            let (Some(view), Some(&number)) = (view, run.get(link.frame)) else {
                continue;
            };
            let (x, y) = (f64::from(link.x), f64::from(link.y));
            let centre = view.centre();
            let away = view.unproject(x, y, 1.0) - centre;
            if let Some(ray) = Unit::try_new(away, f64::EPSILON) {
                let seen = Sighting {
                    number,
                    x,
                    y,
                    centre,
                    ray,
                };
                tracks.entry(link.track).or_default().push(seen);
            }
        }
        tracks
    }

    /// z of a point in a frame, if it lies before it.
    fn depth_of(&self, number: u64, point: &Point3<f64>) -> Option<f64> {
        let view = self.map.frame(number)?.view()?;
        let depth = view.camera_to_world.inverse_transform_point(point).z;
        (depth > 0.0).then_some(depth)
    }

    /// The median ratio of the depths of features, x, y and z, and what the frame's maps have there.
    fn factor(&self, known: &KnownDepth, features: &[(f64, f64, f64)], scale: f64) -> Option<f64> {
        let (width, height) = (self.map.size().columns(), self.map.size().rows());
        let ratio = |&(x, y, depth): &(f64, f64, f64)| {
            let (column, row) = (x.round(), y.round());
            if column < 0.0 || row < 0.0 || column >= width as f64 || row >= height as f64 {
                return None;
            }
            let index = row as usize * width + column as usize;
            let (&confidence, &there) = (known.confidence.get(index)?, known.depth.get(index)?);
            is_known(confidence, there).then(|| depth / (f64::from(there) * scale))
        };
        let mut ratios: Vec<f64> = features.iter().filter_map(ratio).collect();
        if ratios.len() < LEAST_FEATURES {
            return None;
        }
        median(&mut ratios).filter(|ratio| ratio.is_normal() && *ratio > 0.0)
    }
}

/// The point that all rays come near to, if they meet at an angle that tells its distance.
fn intersection(sightings: &[Sighting]) -> Option<Point3<f64>> {
    let (first, others) = sightings.split_first()?;
    let wide = |other: &Sighting| first.ray.angle(&other.ray) >= LEAST_ANGLE;
    if !others.iter().any(wide) {
        return None;
    }
    let (mut sum, mut moment) = (Matrix3::zeros(), Vector3::zeros());
    for seen in sightings {
        let across = Matrix3::identity() - seen.ray.as_ref() * seen.ray.transpose();
        sum += across;
        moment += across * seen.centre.coords;
    }
    let point = Point3::from(sum.try_inverse()? * moment);
    let near = |seen: &Sighting| {
        let away = point - seen.centre;
        let along = away.dot(&seen.ray);
        let miss = (away - seen.ray.as_ref() * along).norm();
        along > 0.0 && miss <= LARGEST_MISS * along
    };
    sightings.iter().all(near).then_some(point)
}

#[cfg(test)]
mod tests;
