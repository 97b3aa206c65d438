//! Frames of a run that show nothing new, because the camera hardly moved.

use super::chunk::NextChunk;
use super::frames::Map;
use super::points::ChunkPoints;
use crate::cloud::{View, is_known, median};
use crate::prediction::Prediction;

/// Distance between cameras, in median depths of the scene, up to which the camera hardly moved.
const LARGEST_STEP: f64 = 0.01;
/// Angle in radians between cameras up to which the camera hardly turned: 2 degrees.
const LARGEST_TURN: f64 = 0.035;
/// Relative change of the focal length up to which the camera did not zoom.
const LARGEST_ZOOM: f64 = 0.02;
/// Share of the known pixels by which a frame may exceed one that shows the same.
const MORE_KNOWN: f64 = 0.1;

/// Frames that add points to a map.
#[derive(Debug, Clone)]
pub struct Keyframes(Vec<Keyframe>);

#[derive(Debug, Clone)]
struct Keyframe {
    view: View,
    /// Pixels whose depth is known.
    known: usize,
}

impl Keyframes {
    /// Those of a map.
    pub fn of(map: &Map) -> Self {
        let keyframes = map.placed().filter_map(|(number, frame)| {
            let place = map.place_with_maps(number)?;
            let chunk = map.chunks().get(place.chunk)?;
            Some(Keyframe {
                view: frame.view()?,
                known: chunk.assessment.known_pixels(place.row),
            })
        });
        Self(keyframes.collect())
    }

    /// The order of the frames of a prediction, in the map's world, that puts those last that show
    /// nothing new, and how many these are. A frame shows nothing new if a keyframe of the map, or an
    /// earlier frame of the prediction, has about the same camera and knows about as many pixels.
    pub fn still_last(mut self, prediction: &Prediction) -> (Vec<usize>, usize) {
        let (mut order, mut still) = (Vec::new(), Vec::new());
        for frame in 0..prediction.len() {
            match self.is_still(prediction, frame) {
                true => still.push(frame),
                false => order.push(frame),
            }
        }
        let count = still.len();
        order.append(&mut still);
        (order, count)
    }

    /// Whether a frame shows nothing new. Otherwise it becomes a keyframe.
    fn is_still(&mut self, prediction: &Prediction, frame: usize) -> bool {
        let Some(view) = View::from_camera(&prediction.cameras[frame]) else {
            return false;
        };
        let maps = prediction
            .frame_confidence(frame)
            .iter()
            .zip(prediction.frame_depth(frame));
        let known = maps.filter(|(confidence, depth)| is_known(**confidence, **depth));
        let mut depths: Vec<f64> = known.map(|(_, depth)| f64::from(*depth)).collect();
        let Some(depth) = median(&mut depths) else {
            return false;
        };
        let known = depths.len();
        let nearby = |keyframe: &Keyframe| keyframe.shows(&view, depth, known);
        if self.0.iter().any(nearby) {
            return true;
        }
        self.0.push(Keyframe { view, known });
        false
    }
}

impl Keyframe {
    /// Whether it shows what a view shows that knows so many pixels, of this median depth.
    fn shows(&self, view: &View, depth: f64, known: usize) -> bool {
        let step = (self.view.centre() - view.centre()).norm();
        let turn = self
            .view
            .camera_to_world
            .rotation
            .angle_to(&view.camera_to_world.rotation);
        let zoom = self.view.intrinsics[(0, 0)] / view.intrinsics[(0, 0)] - 1.0;
        step <= LARGEST_STEP * depth
            && turn <= LARGEST_TURN
            && zoom.abs() <= LARGEST_ZOOM
            && known as f64 <= (1.0 + MORE_KNOWN) * self.known as f64
    }
}

impl NextChunk {
    /// The chunk without the points of its last frames, `still` in number, which are placed all the
    /// same.
    pub fn without_last(mut self, points: ChunkPoints, still: usize) -> (Self, ChunkPoints) {
        if still == 0 {
            return (self, points);
        }
        let chosen = points.len();
        let points = points.of_frames(..self.cameras.len().saturating_sub(still));
        // If not all points were chosen, those that are left are what the chunk can give.
        self.chunk.points = match chosen == self.chunk.points {
            true => self.chunk.points - (chosen - points.len()),
            false => points.len(),
        };
        self.still = still;
        (self, points)
    }
}
