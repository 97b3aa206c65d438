//! What other frames say about the points of a frame.

use nalgebra::{Isometry3, Matrix3, Vector3};

use super::Placed;
use super::pixels::{Contradicted, is_marked};
use crate::cloud::{View, is_known};
use crate::geometry::{FrameSize, Undistortion};
use crate::map::joined::KnownDepth;

/// Relative difference of depths up to which a surface is the same.
const SAME: f32 = 0.04;
/// Relative difference of depths from which a frame sees through a point.
const THROUGH: f32 = 0.06;
/// Fewer frames that see through a point do not contradict it.
const LEAST_AGAINST: u8 = 3;

/// The points of a frame and the votes about them.
pub(super) struct Ballot {
    /// What the frame sees.
    own: Surface,
    points: Vec<Candidate>,
}

/// A point of a frame.
struct Candidate {
    /// Row-major index of its pixel.
    index: u32,
    /// In the coordinates of the camera.
    point: Vector3<f32>,
    /// Frames whose surface is there, and those that contradict it.
    votes_for: u8,
    against: u8,
}

/// What a frame sees.
pub(super) struct Surface {
    view: View,
    intrinsics: Matrix3<f32>,
    undistortion: Option<Undistortion>,
    /// Beyond this radius nothing appears, squared.
    fold: f64,
    size: FrameSize,
    /// Confident depths, and 0 where there are none.
    depth: Vec<f32>,
}

/// What a frame says about a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Its surface is there.
    Same,
    /// It sees through the point, also at all pixels beside it.
    Through,
    /// Its surface at this pixel hides the point.
    Hidden(usize),
    /// Nothing.
    None,
}

impl Ballot {
    pub fn of(frame: &Placed, maps: &KnownDepth, found: &Contradicted, size: FrameSize) -> Self {
        let own = Surface::of(frame, maps, found, size);
        let known = (0_u32..).zip(maps.depth.iter().zip(&maps.confidence));
        let points = known.filter_map(|(index, (&depth, &confidence))| {
            let depth = f64::from(depth) * frame.depth_factor;
            let known = is_known(confidence, depth as f32);
            Some(Candidate {
                index,
                point: known.then(|| own.point(index as usize, depth))??.cast(),
                // The frame itself.
                votes_for: 1,
                against: 0,
            })
        });
        Self {
            points: points.collect(),
            own,
        }
    }

    /// Another frame votes about each point. One of the same chunk only supports points: the run that made
    /// the chunk has compared its frames already.
    pub fn vote(&mut self, other: &Surface, of_same_chunk: bool) {
        let to_other = other.view.camera_to_world.inverse() * self.own.view.camera_to_world;
        let to_own = Motion::of(&to_other.inverse());
        let to_other = Motion::of(&to_other);
        for candidate in &mut self.points {
            let contradicts = match other.verdict(&to_other.apply(&candidate.point)) {
                Verdict::Same => {
                    candidate.votes_for += 1;
                    continue;
                }
                _ if of_same_chunk => continue,
                Verdict::Through => true,
                // Two layers: this frame sees through what hides its point from the other one.
                Verdict::Hidden(pixel) => {
                    let hiding = other.point(pixel, f64::from(other.depth[pixel]));
                    let seen = hiding.map(|point| to_own.apply(&point.cast()));
                    seen.is_some_and(|point| self.own.verdict(&point) == Verdict::Through)
                }
                Verdict::None => false,
            };
            candidate.against += u8::from(contradicts);
        }
    }

    /// The pixels that the others contradict, ascending.
    pub fn contradicted(&self) -> Vec<u32> {
        let points = self.points.iter();
        let points = points.filter(|point| point.is_contradicted());
        points.map(|point| point.index).collect()
    }
}

impl Candidate {
    fn is_contradicted(&self) -> bool {
        self.against >= LEAST_AGAINST && self.against > self.votes_for
    }
}

/// A rotation and a translation in single precision. They are between two cameras that see the same, so
/// the numbers are small wherever in the map these are.
struct Motion {
    rotation: Matrix3<f32>,
    translation: Vector3<f32>,
}

impl Motion {
    fn of(motion: &Isometry3<f64>) -> Self {
        Self {
            rotation: motion.rotation.to_rotation_matrix().matrix().cast(),
            translation: motion.translation.vector.cast(),
        }
    }

    fn apply(&self, point: &Vector3<f32>) -> Vector3<f32> {
        self.rotation * point + self.translation
    }
}

impl Surface {
    /// What a frame sees, but for what was contradicted.
    pub fn of(frame: &Placed, maps: &KnownDepth, found: &Contradicted, size: FrameSize) -> Self {
        let marked = found.of_frame(frame.number);
        let pixels = (0_u32..).zip(maps.depth.iter().zip(&maps.confidence));
        let depth = pixels.map(|(index, (&depth, &confidence))| {
            let counts = is_known(confidence, depth)
                && confidence >= frame.floor
                && !marked.is_some_and(|bits| is_marked(bits, index));
            match counts {
                true => (f64::from(depth) * frame.depth_factor) as f32,
                false => 0.0,
            }
        });
        Self {
            depth: depth.collect(),
            intrinsics: frame.view.intrinsics.cast(),
            undistortion: frame.view.undistortion(size),
            fold: frame.view.distortion.fold().powi(2),
            view: frame.view.clone(),
            size,
        }
    }

    /// The point of a pixel at a depth, in the coordinates of the camera; `None` if nothing appears there.
    fn point(&self, pixel: usize, depth: f64) -> Option<Vector3<f64>> {
        let columns = self.size.columns();
        let (u, v) = ((pixel % columns) as f64, (pixel / columns) as f64);
        let mut ray = self.view.inverse_intrinsics * Vector3::new(u, v, 1.0);
        if let Some(undistortion) = &self.undistortion {
            let [x, y] = undistortion.undistort([ray.x / ray.z, ray.y / ray.z])?;
            ray = Vector3::new(x, y, 1.0);
        }
        Some(ray * depth)
    }

    /// What the frame says about a point in its coordinates.
    fn verdict(&self, seen: &Vector3<f32>) -> Verdict {
        let Some((column, row)) = self.pixel(seen) else {
            return Verdict::None;
        };
        let width = self.size.columns();
        let middle = row * width + column;
        let mut behind = 0;
        for row in row - 1..row + 2 {
            let begin = row * width + column - 1;
            for depth in &self.depth[begin..begin + 3] {
                let ratio = depth / seen.z;
                if (ratio - 1.0).abs() <= SAME {
                    return Verdict::Same;
                }
                behind += usize::from(ratio > 1.0 + THROUGH);
            }
        }
        let depth = self.depth[middle];
        match behind {
            9 => Verdict::Through,
            _ if depth > 0.0 && depth < seen.z => Verdict::Hidden(middle),
            _ => Verdict::None,
        }
    }

    /// Column and row of the pixel where a point appears, if the pixels beside it are in the image, too.
    fn pixel(&self, seen: &Vector3<f32>) -> Option<(usize, usize)> {
        if seen.z <= 0.0 {
            return None;
        }
        let (mut x, mut y) = (seen.x / seen.z, seen.y / seen.z);
        if self.undistortion.is_some() {
            let straight = [f64::from(x), f64::from(y)];
            if straight[0].powi(2) + straight[1].powi(2) >= self.fold {
                return None;
            }
            [x, y] = self
                .view
                .distortion
                .distort(straight)
                .map(|place| place as f32);
        }
        let pixel = self.intrinsics * Vector3::new(x, y, 1.0);
        let (column, row) = (pixel.x.round(), pixel.y.round());
        let (width, height) = (self.size.width as f32, self.size.height as f32);
        let inside = column >= 1.0 && row >= 1.0 && column + 1.0 < width && row + 1.0 < height;
        inside.then_some((column as usize, row as usize))
    }
}
