//! Whether depths and cameras are possible, whatever model they come from.

use nalgebra::Point3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::reason::QualityReason;
use crate::cloud::{KNOWN_CONFIDENCE, View, is_known, median, percentile};
use crate::prediction::Prediction;

/// Share of a frame's known depths that one value may have: more are stuck at a limit.
const MOST_OF_ONE_VALUE: f64 = 0.5;
/// Ratio of the farthest to the nearest known depth, without outliers, that a camera can see.
const WIDEST_RANGE: f32 = 1e6;
/// Known pixels below which the distribution of depths says nothing.
const FEWEST_KNOWN: usize = 16;
/// Distance between cameras, in depths of the scene, beyond which they see nothing in common.
const LONGEST_BASELINE: f64 = 1e3;
/// Distance between cameras, in depths of the scene, below which the scale is arbitrary.
const SHORTEST_BASELINE: f64 = 1e-5;
/// The same, below which the cameras are at one place up to rounding.
const NO_BASELINE: f64 = 1e-6;
/// Angle in radians from which cameras at one place have turned: 2 degrees.
const TURNED: f64 = 0.035;

/// What the geometry of a prediction shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Geometry {
    /// One per frame of the prediction.
    pub frames: Vec<FrameGeometry>,
    /// Whether the prediction as a whole is impossible: most of its frames are.
    pub is_implausible: bool,
    /// Why the cameras do not determine depth, if they do not.
    pub baseline: Option<QualityReason>,
}

/// What the geometry of a frame shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct FrameGeometry {
    /// Whether the model registered it.
    pub is_registered: bool,
    /// Whether its depth or its camera is impossible.
    pub is_implausible: bool,
    /// Pixels whose depth is known; 0 if it is not registered.
    pub known: usize,
    /// Median of the known depths.
    depth: Option<f64>,
}

impl Geometry {
    /// Of frames of several predictions in one world: a prediction's geometry and the index of the
    /// frame in it, or `None` for a frame that no prediction has. The cameras determine depth if
    /// those of one prediction do.
    pub fn of_parts<'a>(frames: impl Iterator<Item = Option<(&'a Self, usize)>> + Clone) -> Self {
        let mut baselines = frames.clone().flatten().map(|(part, _)| part.baseline);
        let baseline = match baselines.clone().all(|baseline| baseline.is_some()) {
            true => baselines.next().flatten(),
            false => None,
        };
        let frames = frames.map(|frame| {
            let found = frame.and_then(|(part, frame)| {
                let found = *part.frames.get(frame)?;
                Some(FrameGeometry {
                    is_implausible: found.is_implausible || part.is_implausible,
                    ..found
                })
            });
            found.unwrap_or(FrameGeometry::NONE)
        });
        Self {
            frames: frames.collect(),
            is_implausible: false,
            baseline,
        }
    }

    pub fn of(prediction: &Prediction) -> Self {
        let views: Vec<_> = prediction.cameras.iter().map(View::from_camera).collect();
        let mut frames: Vec<_> = views
            .par_iter()
            .enumerate()
            .map(|(frame, view)| FrameGeometry::of(prediction, frame, view.is_some()))
            .collect();
        // Only frames with points count: a camera without points does no harm.
        let placed: Vec<(usize, &View)> = views
            .iter()
            .enumerate()
            .filter(|(frame, _)| frames[*frame].known > 0)
            .filter_map(|(frame, view)| Some((frame, view.as_ref()?)))
            .collect();
        let mut depths: Vec<f64> = placed
            .iter()
            .filter_map(|(frame, _)| frames[*frame].depth)
            .collect();
        let baselines = median(&mut depths).map_or_else(Vec::new, |depth| {
            baselines(&placed)
                .into_iter()
                .map(|baseline| baseline / depth)
                .collect()
        });
        for ((frame, _), baseline) in placed.iter().zip(&baselines) {
            frames[*frame].is_implausible |= baseline.is_nan() || *baseline > LONGEST_BASELINE;
        }
        let impossible = frames.iter().filter(|frame| frame.is_implausible).count();
        let possible = frames.iter().filter(|frame| frame.is_usable()).count();
        let views: Vec<&View> = placed.iter().map(|(_, view)| *view).collect();
        Self {
            is_implausible: impossible > possible,
            baseline: judge_baseline(baselines, &views),
            frames,
        }
    }
}

impl FrameGeometry {
    /// Of a frame that no prediction has.
    const NONE: Self = Self {
        is_registered: false,
        is_implausible: false,
        known: 0,
        depth: None,
    };

    /// Whether the frame has points.
    pub fn is_usable(&self) -> bool {
        self.known > 0 && !self.is_implausible
    }

    fn of(prediction: &Prediction, frame: usize, has_view: bool) -> Self {
        let is_registered = prediction.cameras[frame].registered;
        if !has_view {
            return Self {
                is_registered,
                // Its matrices are not those of a camera.
                is_implausible: is_registered,
                known: 0,
                depth: None,
            };
        }
        let confidence = prediction.frame_confidence(frame).iter();
        let mut depths: Vec<f32> = confidence
            .zip(prediction.frame_depth(frame))
            .filter(|&(&confidence, &depth)| {
                confidence >= KNOWN_CONFIDENCE && is_known(confidence, depth)
            })
            .map(|(_, &depth)| depth)
            .collect();
        let known = depths.len();
        let middle = percentile(&mut depths, 50.0);
        Self {
            is_registered,
            is_implausible: known >= FEWEST_KNOWN
                && (is_stuck(&depths, middle) || is_too_wide(&mut depths)),
            known,
            depth: middle.map(f64::from),
        }
    }
}

/// Whether most depths are one value at an end of their range, as at a limit of the model. Such a value
/// is the median. In the middle of the range, it is a wall in the rounding of half precision.
fn is_stuck(depths: &[f32], middle: Option<f32>) -> bool {
    let Some(middle) = middle else { return false };
    let same = depths.iter().filter(|depth| **depth == middle).count();
    let is_end =
        depths.iter().all(|depth| *depth <= middle) || depths.iter().all(|depth| *depth >= middle);
    is_end && same as f64 > MOST_OF_ONE_VALUE * depths.len() as f64
}

fn is_too_wide(depths: &mut [f32]) -> bool {
    let near = percentile(depths, 1.0);
    let far = percentile(depths, 99.0);
    matches!((near, far), (Some(near), Some(far)) if far / near > WIDEST_RANGE)
}

/// The median distance of each camera from the others; nothing for a single camera.
fn baselines(placed: &[(usize, &View)]) -> Vec<f64> {
    if placed.len() < 2 {
        return Vec::new();
    }
    let centres: Vec<Point3<f64>> = placed.iter().map(|(_, view)| view.centre()).collect();
    let of_one = |this: usize| {
        let others = centres
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != this);
        let mut distances: Vec<f64> = others
            .map(|(_, other)| nalgebra::distance(&centres[this], other))
            .collect();
        median(&mut distances).unwrap_or(f64::NAN)
    };
    (0..centres.len()).into_par_iter().map(of_one).collect()
}

/// Why cameras this close together, relative to the depth of the scene, do not determine depth.
fn judge_baseline(mut baselines: Vec<f64>, views: &[&View]) -> Option<QualityReason> {
    let baseline = median(&mut baselines)?;
    if baseline >= SHORTEST_BASELINE || baseline.is_nan() {
        return None;
    }
    if baseline > NO_BASELINE {
        return Some(QualityReason::DegenerateScale);
    }
    let (first, others) = views.split_first()?;
    let has_turned = others.iter().any(|view| {
        let turn = first.camera_to_world.rotation;
        turn.angle_to(&view.camera_to_world.rotation) > TURNED
    });
    Some(match has_turned {
        true => QualityReason::RotationOnly,
        false => QualityReason::NoParallax,
    })
}
