//! Which frames of a prediction see the same surfaces.

use nalgebra::Point3;
use rayon::prelude::*;

use super::join::DepthMap;
use crate::cloud::{KNOWN_CONFIDENCE, View};
use crate::prediction::Prediction;

/// Pixels of a frame that are looked for in another one.
const SAMPLES: usize = 256;
/// Share of them that another frame must see at the same depth.
const LEAST_SEEN: f64 = 0.1;
/// Ratio of two depths that are the same, as a logarithm: 15 %.
const SAME_DEPTH: f64 = 0.14;

/// Groups of frames that see the same surfaces: a number for each frame, the same for two frames that
/// see a tenth of each other's surface, perhaps by way of others. Frames without a camera or without
/// depth are alone.
///
/// A model that gives every frame a camera gives one to frames of another place, too; those see nothing
/// that the others see.
pub fn groups(prediction: &Prediction) -> Vec<usize> {
    let frames: Vec<Option<Surface>> = (0..prediction.len())
        .into_par_iter()
        .map(|frame| Surface::of(prediction, frame))
        .collect();
    let pairs: Vec<(usize, usize)> = (0..frames.len())
        .flat_map(|one| (0..one).map(move |other| (one, other)))
        .collect();
    let linked: Vec<(usize, usize)> = pairs
        .into_par_iter()
        .filter(|&(one, other)| match (&frames[one], &frames[other]) {
            (Some(one), Some(other)) => one.is_seen_by(other) || other.is_seen_by(one),
            _ => false,
        })
        .collect();
    let mut groups: Vec<usize> = (0..frames.len()).collect();
    for (one, other) in linked {
        let (from, to) = (groups[one], groups[other]);
        for group in &mut groups {
            if *group == from {
                *group = to;
            }
        }
    }
    groups
}

/// Whether each frame is in the largest group; of equally large ones, in that of the first frame. All
/// are if no two frames are in one group: then nothing is known.
pub fn in_largest_group(groups: &[usize]) -> Vec<bool> {
    let size = |group: usize| groups.iter().filter(|other| **other == group).count();
    let mut largest: Option<(usize, usize)> = None;
    for &group in groups {
        let size = size(group);
        if largest.is_none_or(|(_, most)| size > most) {
            largest = Some((group, size));
        }
    }
    let member = |group: &usize| largest.is_none_or(|(best, size)| size < 2 || *group == best);
    groups.iter().map(member).collect()
}

/// What a frame sees.
struct Surface<'a> {
    view: View,
    maps: DepthMap<'a>,
    columns: usize,
    /// Points of its confident pixels in the world.
    samples: Vec<Point3<f64>>,
}

impl<'a> Surface<'a> {
    fn of(prediction: &'a Prediction, frame: usize) -> Option<Self> {
        let view = View::from_camera(&prediction.cameras[frame])?;
        let maps = DepthMap {
            depth: prediction.frame_depth(frame),
            confidence: prediction.frame_confidence(frame),
        };
        let floor = maps.middle_confidence()?;
        let columns = prediction.size.columns();
        let confident = (0..maps.depth.len()).filter(|&pixel| maps.is_confident(pixel, floor));
        let confident: Vec<usize> = confident.collect();
        let step = confident.len().div_ceil(SAMPLES).max(1);
        let samples = confident.into_iter().step_by(step).map(|pixel| {
            let (u, v) = ((pixel % columns) as f64, (pixel / columns) as f64);
            view.unproject(u, v, f64::from(maps.depth[pixel]))
        });
        let samples: Vec<_> = samples.filter(|point| !point.x.is_nan()).collect();
        (!samples.is_empty()).then_some(Self {
            view,
            maps,
            columns,
            samples,
        })
    }

    fn is_seen_by(&self, other: &Surface) -> bool {
        let seen = self.samples.iter().filter(|point| other.sees(point));
        seen.count() as f64 >= LEAST_SEEN * self.samples.len() as f64
    }

    /// Whether the frame has a depth where the point appears, and the same one.
    fn sees(&self, point: &Point3<f64>) -> bool {
        let local = self.view.camera_to_world.inverse_transform_point(point);
        if local.z <= 0.0 {
            return false;
        }
        let [x, y] = self
            .view
            .distortion
            .distort([local.x / local.z, local.y / local.z]);
        let pixel = self.view.intrinsics * nalgebra::Vector3::new(x, y, 1.0);
        let (column, row) = (pixel.x.round(), pixel.y.round());
        let rows = self.maps.depth.len() / self.columns;
        let inside =
            (0.0..self.columns as f64).contains(&column) && (0.0..rows as f64).contains(&row);
        if !inside {
            return false;
        }
        let index = row as usize * self.columns + column as usize;
        self.maps.is_confident(index, KNOWN_CONFIDENCE)
            && (local.z / f64::from(self.maps.depth[index])).ln().abs() <= SAME_DEPTH
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::{Isometry3, Matrix3, Vector3};

    use super::*;
    use crate::geometry::{Distortion, FrameSize};
    use crate::prediction::Camera;

    const SIZE: FrameSize = FrameSize::new(28, 21);

    /// A wall at distance 2, seen from these places and turned by these angles about the vertical.
    fn wall(cameras: &[(f64, f64)]) -> Prediction {
        let intrinsics = Matrix3::new(24.0, 0.0, 13.5, 0.0, 24.0, 10.0, 0.0, 0.0, 1.0);
        let pixels = SIZE.columns() * SIZE.rows();
        let camera = |&(x, turn): &(f64, f64)| {
            let pose = Isometry3::new(Vector3::new(x, 0.0, 0.0), Vector3::y() * turn);
            Camera {
                extrinsics: pose.inverse().to_homogeneous(),
                intrinsics,
                distortion: Distortion::NONE,
                registered: true,
            }
        };
        Prediction {
            size: SIZE,
            cameras: cameras.iter().map(camera).collect(),
            depth: vec![2.0; pixels * cameras.len()],
            confidence: vec![2.0; pixels * cameras.len()],
            report: None,
            links: None,
        }
    }

    #[test]
    fn frames_of_one_surface_are_one_group_by_way_of_others() {
        // The outer ones see nothing of each other.
        let groups = groups(&wall(&[(0.0, 0.0), (3.6, 0.0), (1.2, 0.0), (2.4, 0.0)]));
        assert!(groups.iter().all(|group| *group == groups[0]), "{groups:?}");
        assert_eq!(in_largest_group(&groups), [true; 4]);
    }

    #[test]
    fn frames_that_look_elsewhere_are_another_group() {
        let back = std::f64::consts::PI;
        let groups = groups(&wall(&[
            (0.0, 0.0),
            (0.3, back),
            (0.4, 0.0),
            (0.6, back),
            (0.7, 0.0),
        ]));
        assert_eq!(groups[1], groups[3]);
        assert_ne!(groups[0], groups[1]);
        assert_eq!(in_largest_group(&groups), [true, false, true, false, true]);
    }

    #[test]
    fn another_depth_is_another_surface() {
        let mut prediction = wall(&[(0.0, 0.0), (0.1, 0.0)]);
        let pixels = prediction.pixels_per_frame();
        prediction.depth[pixels..].fill(2.6);
        let groups = groups(&prediction);
        assert_ne!(groups[0], groups[1]);
        assert_eq!(in_largest_group(&groups), [true; 2], "nothing is known");
    }

    #[test]
    fn frames_without_a_camera_are_alone() {
        let mut prediction = wall(&[(0.0, 0.0), (0.1, 0.0), (0.2, 0.0)]);
        prediction.cameras[1].registered = false;
        assert_eq!(in_largest_group(&groups(&prediction)), [true, false, true]);
    }
}
