//! Where a window of a model that cannot extend belongs in the map: by the frames that both have.
//!
//! The similarity is found in parts. Each shared frame has a camera and depths in the window and in the
//! map, so it alone gives a rotation, a scale and a translation. The rotation of the window is a robust
//! mean of those of its shared frames, the scale a median of the ratios of their depths, and the
//! translation a median with that rotation and scale. A similarity of points would turn errors of depth
//! into a rotation; a similarity of camera centres leaves the roll open where these are on a line.

use nalgebra::{Isometry3, Point3, Similarity3, Translation3, UnitQuaternion, Vector3};
use serde::{Deserialize, Serialize};

use crate::cloud::{KNOWN_CONFIDENCE, is_known, mean_rotation, mean_vector, median, middle_of};

/// Shared frames that must agree about where a window belongs.
const LEAST_AGREEING: usize = 2;
/// Share of the shared frames that must agree.
const LEAST_SHARE: f64 = 1.0 / 3.0;
/// Largest angle in radians between the rotations of frames that agree: 8 degrees.
const MOST_TURN: f64 = 0.14;
/// Largest ratio of the scales of frames that agree, as a logarithm: 25 %.
const MOST_SCALING: f64 = 0.22;
/// Largest distance between the places that frames that agree give a camera, relative to its depth.
const MOST_SHIFT: f64 = 0.1;
/// The same, relative to the distance between the frames: a wrong focal length in the window makes all
/// distances between its cameras wrong relative to their depths.
const MOST_STRETCH: f64 = 0.25;
/// Pixels of a frame by which its depths are compared.
const COMPARED_PIXELS: usize = 1 << 14;
/// Pixels below which the ratio of depths says nothing.
const FEWEST_PIXELS: usize = 16;
/// Median deviation of the ratios of depths from their median, as a logarithm, above which the two
/// depth maps do not show the same: 35 %.
const MOST_UNLIKE: f64 = 0.3;

/// A frame that both the map and a window have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharedFrame {
    /// From camera coordinates to the map's world.
    pub in_map: Isometry3<f64>,
    /// From camera coordinates to the window's world.
    pub in_window: Isometry3<f64>,
    pub depths: ComparedDepths,
}

/// Depths of one frame in the map and in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComparedDepths {
    /// Median of the depths in the map divided by those in the window.
    pub ratio: f64,
    /// Median of the depths in the map.
    pub depth: f64,
}

/// Depth and confidence of a frame, row-major.
#[derive(Debug, Clone, Copy)]
pub struct DepthMap<'a> {
    pub depth: &'a [f32],
    pub confidence: &'a [f32],
}

/// Where a window belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// From the window's world to the map's.
    pub similarity: Similarity3<f64>,
    /// Indices of the shared frames that agree with it, ascending.
    pub agreeing: Vec<usize>,
    pub spread: JoinSpread,
}

/// How much the shared frames that agree about a join differ: medians of their deviations from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JoinSpread {
    /// Angle in radians.
    pub rotation: f64,
    /// Logarithm of the ratio of scales.
    pub scale: f64,
    /// Distance of camera centres, relative to the depth of their frames.
    pub centre: f64,
}

impl JoinSpread {
    /// Nothing differs.
    pub const NONE: Self = Self {
        rotation: 0.0,
        scale: 0.0,
        centre: 0.0,
    };
}

impl ComparedDepths {
    /// Compares the depths of a frame where both are confident: at least as confident as half of what
    /// each knows. `None` if that is hardly anywhere, or if the depths have nothing in common.
    pub fn of(map: DepthMap<'_>, window: DepthMap<'_>) -> Option<Self> {
        let [map_floor, window_floor] = [map, window].map(|frame| frame.middle_confidence());
        let (map_floor, window_floor) = (map_floor?, window_floor?);
        let pixels = map.depth.len().min(window.depth.len());
        let step = pixels.div_ceil(COMPARED_PIXELS).max(1);
        let both = (0..pixels).step_by(step).filter(|&pixel| {
            map.is_confident(pixel, map_floor) && window.is_confident(pixel, window_floor)
        });
        let (mut ratios, mut depths): (Vec<f64>, Vec<f64>) = both
            .map(|pixel| {
                let depth = f64::from(map.depth[pixel]);
                ((depth / f64::from(window.depth[pixel])).ln(), depth)
            })
            .unzip();
        if ratios.len() < FEWEST_PIXELS {
            return None;
        }
        let middle = median(&mut ratios)?;
        for ratio in &mut ratios {
            *ratio = (*ratio - middle).abs();
        }
        (median(&mut ratios)? <= MOST_UNLIKE).then_some(Self {
            ratio: middle.exp(),
            depth: median(&mut depths)?,
        })
    }

    /// The same for depths of the map that are multiples of those that were compared.
    pub fn times(self, factor: f64) -> Self {
        Self {
            ratio: self.ratio * factor,
            depth: self.depth * factor,
        }
    }
}

impl DepthMap<'_> {
    /// Median confidence of the pixels that are known well enough for points.
    pub(super) fn middle_confidence(&self) -> Option<f32> {
        let step = self.depth.len().div_ceil(COMPARED_PIXELS).max(1);
        let pixels = (0..self.depth.len()).step_by(step);
        let known = pixels.filter(|&pixel| self.is_confident(pixel, KNOWN_CONFIDENCE));
        let mut values: Vec<f64> = known
            .map(|pixel| f64::from(self.confidence[pixel]))
            .collect();
        median(&mut values).map(|value| value as f32)
    }

    pub(super) fn is_confident(&self, pixel: usize, floor: f32) -> bool {
        let confidence = self.confidence[pixel];
        confidence >= floor && is_known(confidence, self.depth[pixel])
    }
}

impl SharedFrame {
    /// The rotation from the window's world to the map's that this frame alone gives.
    fn rotation(&self) -> UnitQuaternion<f64> {
        self.in_map.rotation * self.in_window.rotation.inverse()
    }

    /// The translation that this frame alone gives with a rotation and a scale.
    fn translation(&self, rotation: &UnitQuaternion<f64>, scale: f64) -> Vector3<f64> {
        self.in_map.translation.vector - rotation * self.in_window.translation.vector * scale
    }

    fn alone(&self) -> Similarity3<f64> {
        let (rotation, scale) = (self.rotation(), self.depths.ratio);
        let translation = self.translation(&rotation, scale);
        Similarity3::from_parts(translation.into(), rotation, scale)
    }

    /// How far the frame is from where a similarity takes it.
    fn deviation(&self, similarity: &Similarity3<f64>) -> JoinSpread {
        let centre = similarity * Point3::from(self.in_window.translation.vector);
        let distance = (self.in_map.translation.vector - centre.coords).norm();
        JoinSpread {
            rotation: self.rotation().angle_to(&similarity.isometry.rotation),
            scale: (self.depths.ratio / similarity.scaling()).ln().abs(),
            centre: distance / self.depths.depth,
        }
    }

    /// Whether the frame agrees with a similarity that is exact at `origin` of the map.
    fn agrees(&self, similarity: &Similarity3<f64>, origin: &Vector3<f64>) -> bool {
        let off = self.deviation(similarity);
        let away = (self.in_map.translation.vector - origin).norm() / self.depths.depth;
        off.rotation <= MOST_TURN
            && off.scale <= MOST_SCALING
            && off.centre <= MOST_SHIFT + MOST_STRETCH * away
    }
}

impl Join {
    /// The similarity that most of the shared frames agree about. `None` if it is too uncertain: fewer
    /// than two frames, or fewer than a third of them, agree.
    pub fn of(shared: &[SharedFrame]) -> Option<Self> {
        let agreeing = |similarity: &Similarity3<f64>, origin: &Vector3<f64>| {
            let indices = 0..shared.len();
            let agree = indices.filter(|&index| shared[index].agrees(similarity, origin));
            agree.collect::<Vec<usize>>()
        };
        // Of equally many the latest, which are nearest to the new frames.
        let best = shared
            .iter()
            .map(|frame| agreeing(&frame.alone(), &frame.in_map.translation.vector))
            .max_by_key(Vec::len)?;
        let chosen = |indices: &[usize]| -> Vec<SharedFrame> {
            indices.iter().map(|&index| shared[index]).collect()
        };
        let middle = |indices: &[usize]| {
            let centres = indices
                .iter()
                .map(|&index| shared[index].in_map.translation);
            mean_vector(&centres.map(|centre| centre.vector).collect::<Vec<_>>())
        };
        // Once more with what all of them agree about.
        let estimate = in_parts(&chosen(&best))?;
        let agreeing = agreeing(&estimate, &middle(&best)?);
        let enough = (shared.len() as f64 * LEAST_SHARE).max(LEAST_AGREEING as f64);
        if (agreeing.len() as f64) < enough {
            return None;
        }
        let frames = chosen(&agreeing);
        let similarity = in_parts(&frames)?;
        let deviations: Vec<JoinSpread> = frames
            .iter()
            .map(|frame| frame.deviation(&similarity))
            .collect();
        let middle = |part: fn(&JoinSpread) -> f64| {
            let mut values: Vec<f64> = deviations.iter().map(part).collect();
            median(&mut values).unwrap_or(0.0)
        };
        Some(Self {
            similarity,
            agreeing,
            spread: JoinSpread {
                rotation: middle(|spread| spread.rotation),
                scale: middle(|spread| spread.scale),
                centre: middle(|spread| spread.centre),
            },
        })
    }
}

/// Rotation, scale and translation of frames, one after another.
fn in_parts(frames: &[SharedFrame]) -> Option<Similarity3<f64>> {
    let rotations: Vec<_> = frames.iter().map(SharedFrame::rotation).collect();
    let rotation = mean_rotation(&rotations)?;
    let mut scales: Vec<f64> = frames.iter().map(|frame| frame.depths.ratio.ln()).collect();
    let scale = middle_of(&mut scales)?.exp();
    let translations: Vec<_> = frames
        .iter()
        .map(|frame| frame.translation(&rotation, scale))
        .collect();
    let translation = mean_vector(&translations)?;
    let is_finite = translation.iter().all(|number| number.is_finite());
    (is_finite && scale.is_normal())
        .then(|| Similarity3::from_parts(Translation3::from(translation), rotation, scale))
}

#[cfg(test)]
mod tests;
