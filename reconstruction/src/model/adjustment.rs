//! Adjusting the cameras of many frames together.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::hint::CameraHint;
use crate::geometry::FrameSize;
use crate::prediction::{Camera, Link, Links};

/// Tracks of links that a model can tell apart: their numbers are 32-bit floats.
const MOST_TRACKS: usize = 1 << 24;

/// Frames that earlier predictions have placed, with what several runs of the model know of the points
/// that they share.
pub struct Adjustment<'a> {
    pub size: FrameSize,
    /// In the same coordinates, near the origin, with depths of about 1.
    pub frames: &'a [AdjustmentFrame<'a>],
    /// By the indices of the frames. Tracks of different runs have different numbers.
    pub links: &'a [Link],
}

/// A frame of an adjustment.
#[derive(Debug, Clone, Copy)]
pub struct AdjustmentFrame<'a> {
    pub camera: &'a Camera,
    pub hint: CameraHint,
}

/// Where an adjustment has found a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdjustedCamera {
    pub camera: Camera,
    /// The frame's depths, as multiples of those before; above 0.
    pub depth_factor: f64,
}

/// Collects the links of several runs.
#[derive(Debug, Clone, Default)]
pub struct LinksOfRuns {
    links: Vec<Link>,
    tracks: usize,
}

impl LinksOfRuns {
    /// Adds the links of a run. `frames` has, for each frame of the run, its index in the adjustment;
    /// `None` for a frame that is not in it. A run whose tracks are too many to number is left out.
    pub fn add(&mut self, run: &Links, frames: &[Option<usize>]) {
        let highest = run.iter().map(|link| link.track).max();
        let end = self.tracks + highest.map_or(0, |track| track + 1);
        if end > MOST_TRACKS {
            return;
        }
        let moved = run.iter().filter_map(|link| {
            Some(Link {
                frame: (*frames.get(link.frame)?)?,
                track: self.tracks + link.track,
                ..link
            })
        });
        self.links.extend(moved);
        self.tracks = end;
    }

    /// The links of all runs.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// How often two features show the same point. Tracks of different runs show the same one if they
    /// have a feature in common. The memory of an adjustment grows with it.
    pub fn shared(&self) -> u64 {
        let mut points = Points::new(self.tracks);
        let mut features = HashMap::with_capacity(self.links.len());
        for link in &self.links {
            let place = (link.frame, link.x.to_bits(), link.y.to_bits());
            let known = *features.entry(place).or_insert(link.track);
            points.join(known, link.track);
        }
        let mut seen = vec![0u64; self.tracks];
        for track in features.into_values() {
            seen[points.of(track)] += 1;
        }
        let pairs = |count: u64| count * count.saturating_sub(1) / 2;
        seen.into_iter().map(pairs).sum()
    }
}

/// Tracks that show the same point, each with one that stands for all of them.
struct Points(Vec<usize>);

impl Points {
    /// Each of so many tracks shows a point of its own.
    fn new(tracks: usize) -> Self {
        Self((0..tracks).collect())
    }

    fn of(&mut self, mut track: usize) -> usize {
        while self.0[track] != track {
            // Halving the way keeps later ones short.
            self.0[track] = self.0[self.0[track]];
            track = self.0[track];
        }
        track
    }

    fn join(&mut self, one: usize, two: usize) {
        let (one, two) = (self.of(one), self.of(two));
        self.0[one.max(two)] = one.min(two);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_runs_are_counted_once() {
        // Rows of two links: x, y and track, in two frames each.
        let run = |numbers: [f32; 12]| Links::new(2, 2, numbers.to_vec()).expect("two frames");
        let mut all = LinksOfRuns::default();
        assert_eq!(all.shared(), 0);
        let none = [0.0, 0.0, -1.0];
        let [a, b, c, other] = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [9.0, 9.0]];
        let link = |[x, y]: [f32; 2], track: f32| [x, y, track];
        let rows = |rows: [[f32; 3]; 4]| -> [f32; 12] {
            std::array::from_fn(|index| rows[index / 3][index % 3])
        };
        // Frames 0 and 1 share a point, and frames 1 and 2 the same one; two others are apart.
        let first = run(rows([
            link(a, 0.0),
            link(other, 1.0),
            link(b, 0.0),
            link(c, 1.0),
        ]));
        all.add(&first, &[Some(0), Some(1)]);
        assert_eq!(all.shared(), 2);
        let second = run(rows([link(b, 4.0), none, link(a, 4.0), none]));
        all.add(&second, &[Some(1), Some(2)]);
        assert_eq!(all.shared(), 3 + 1);
    }

    #[test]
    fn tracks_of_runs_stay_apart_and_frames_get_their_indices() {
        let run = |tracks: [f32; 4]| {
            let numbers = tracks.iter().flat_map(|track| [1.0, 2.0, *track]);
            Links::new(2, 2, numbers.collect()).expect("two frames with two links")
        };
        let mut all = LinksOfRuns::default();
        all.add(&run([0.0, 3.0, 3.0, -1.0]), &[Some(4), Some(5)]);
        all.add(&run([1.0, -1.0, 1.0, 0.0]), &[None, Some(4)]);
        let found: Vec<_> = all
            .links()
            .iter()
            .map(|link| (link.frame, link.track))
            .collect();
        assert_eq!(found, [(4, 0), (4, 3), (5, 3), (4, 5), (4, 4)]);
    }
}
