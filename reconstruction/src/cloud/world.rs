//! The world of a session, fixed by its first result.

use std::collections::BTreeMap;

use nalgebra::{Isometry3, Similarity3, Translation3, UnitQuaternion, Vector3};
use serde::{Deserialize, Serialize};

use super::align::{CameraPair, MIN_CORRESPONDENCES};
use super::alignment::{Alignment, Unaligned};
use super::anchors::{Anchor, choose_anchors};
use super::confident::ConfidentPixels;
use super::overlap::Overlap;
use super::sample::sample_pixels;
use super::statistics::{median, median_point};
use super::unproject::unproject;
use crate::geometry::Region;

/// Most frames that the world keeps (about 5 MB). Frames with the smallest identifiers are removed
/// first.
const MAX_FRAMES: usize = 512;

/// Points that the origin is the median of; with more points, of a sample of this size.
const CENTRE_POINTS: usize = 1 << 21;

const CENTRE_SEED: u64 = 1;

/// Identity of a frame of a prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FrameSource {
    /// The same in all results of a session; later frames have larger ones.
    pub id: u64,
    /// The part of the source image that the processed image shows.
    pub region: Region,
}

/// The world of a session: cameras and points of earlier results in GLB coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct World {
    frames: BTreeMap<u64, KnownFrame>,
    /// Camera-to-GLB pose of the first camera.
    first_camera: Isometry3<f64>,
    /// Median depth of the first camera's confident pixels, in GLB units.
    typical_depth: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KnownFrame {
    camera_to_glb: Isometry3<f64>,
    anchors: Vec<Anchor>,
}

/// The placement of a result in the session's world.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placement {
    /// From the world of this model run to GLB coordinates.
    pub world_to_glb: Similarity3<f64>,
    pub alignment: Alignment,
    /// The world for the next result.
    pub world: World,
}

/// From OpenCV camera axes (x right, y down, z forward) to glTF axes (x right, y up, z backward).
pub fn axes_flip() -> UnitQuaternion<f64> {
    UnitQuaternion::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI)
}

impl World {
    /// Places a result in the session's world. The first result with points defines the world.
    ///
    /// `frames` has the identity of each frame, in the order of the prediction.
    pub(super) fn place(
        earlier: Option<&World>,
        pixels: &ConfidentPixels,
        frames: &[FrameSource],
    ) -> Placement {
        let Some(earlier) = earlier.filter(|world| world.is_established()) else {
            let (world, world_to_glb) = World::establish(pixels, frames);
            return Placement {
                world_to_glb,
                alignment: Alignment::Origin,
                world,
            };
        };
        let (world_to_glb, alignment) = earlier.align(pixels, frames);
        let mut world = earlier.clone();
        if matches!(alignment, Alignment::Unaligned { .. }) {
            // The next result must overlay this one, so it replaces the earlier ones.
            let mut restarted = World {
                frames: BTreeMap::new(),
                ..*earlier
            };
            restarted.remember(pixels, frames, &world_to_glb);
            if restarted.is_established() {
                world = restarted;
            }
        } else {
            world.remember(pixels, frames, &world_to_glb);
        }
        Placement {
            world_to_glb,
            alignment,
            world,
        }
    }

    /// Defines a world: the axes of the first registered camera in glTF convention, with the origin
    /// at the median of the confident points. Returns the map from the model run's world to it.
    fn establish(pixels: &ConfidentPixels, frames: &[FrameSource]) -> (World, Similarity3<f64>) {
        let flip = Isometry3::from_parts(Translation3::identity(), axes_flip());
        let mut to_glb = Similarity3::from_isometry(flip, 1.0);
        let mut first_camera = flip;
        let mut typical_depth = None;
        if let Some((first, view)) = pixels.first_view() {
            to_glb *= view.camera_to_world.inverse();
            let sample = sample_pixels(pixels, CENTRE_POINTS, CENTRE_SEED);
            let mut points = unproject(pixels, &sample, &to_glb);
            points.retain(|point| !point[0].is_nan());
            if let Some(centre) = median_point(&points) {
                let centre = Vector3::from(centre.map(f64::from));
                to_glb.append_translation_mut(&Translation3::from(-centre));
            }
            first_camera = (to_glb * view.camera_to_world).isometry;
            typical_depth = median_depth(pixels, first);
        }
        let mut world = World {
            frames: BTreeMap::new(),
            first_camera,
            typical_depth,
        };
        world.remember(pixels, frames, &to_glb);
        (world, to_glb)
    }

    /// Whether there are enough points to align a result with.
    pub fn is_established(&self) -> bool {
        let anchors: usize = self.frames.values().map(|frame| frame.anchors.len()).sum();
        anchors >= MIN_CORRESPONDENCES
    }

    /// The similarity from the world of a later model run to GLB coordinates.
    fn align(
        &self,
        pixels: &ConfidentPixels,
        frames: &[FrameSource],
    ) -> (Similarity3<f64>, Alignment) {
        let Some((first, first_view)) = pixels.first_view() else {
            let flip = Isometry3::from_parts(Translation3::identity(), axes_flip());
            let reason = Unaligned::NoCamera;
            return (
                Similarity3::from_isometry(flip, 1.0),
                Alignment::Unaligned { reason },
            );
        };
        let overlap = self.overlap(pixels, frames);
        if let Some((similarity, alignment)) = overlap.align() {
            return (similarity, alignment);
        }
        let scale = match (self.typical_depth, median_depth(pixels, first)) {
            (Some(known), Some(here)) if (known / here).is_normal() => known / here,
            _ => 1.0,
        };
        let first_pair = CameraPair {
            from: first_view.camera_to_world,
            to: self.first_camera,
        };
        let similarity = first_pair.similarity(scale).unwrap_or_else(|| {
            Similarity3::from_isometry(
                self.first_camera * first_view.camera_to_world.inverse(),
                1.0,
            )
        });
        let reason = if overlap.is_empty() {
            Unaligned::NoCommonFrame
        } else {
            Unaligned::Inconsistent
        };
        (similarity, Alignment::Unaligned { reason })
    }

    /// Adds the frames that are not known yet.
    fn remember(
        &mut self,
        pixels: &ConfidentPixels,
        frames: &[FrameSource],
        to_glb: &Similarity3<f64>,
    ) {
        for (frame, (source, view)) in frames.iter().zip(pixels.views()).enumerate() {
            let Some(view) = view else { continue };
            let known = self.frames.get(&source.id);
            if known.is_none_or(|known| known.anchors.is_empty()) {
                let known = KnownFrame {
                    camera_to_glb: (to_glb * view.camera_to_world).isometry,
                    anchors: choose_anchors(pixels, frame, source.region, to_glb),
                };
                self.frames.insert(source.id, known);
            }
        }
        while self.frames.len() > MAX_FRAMES {
            self.frames.pop_first();
        }
    }

    fn overlap(&self, pixels: &ConfidentPixels, frames: &[FrameSource]) -> Overlap {
        let mut overlap = Overlap::default();
        for (frame, (source, view)) in frames.iter().zip(pixels.views()).enumerate() {
            let (Some(view), Some(known)) = (view, self.frames.get(&source.id)) else {
                continue;
            };
            let found = known.anchors.iter().filter_map(|anchor| {
                let from = anchor.find(pixels, frame, source.region)?;
                Some((from, anchor.position()))
            });
            overlap.add(view, known.camera_to_glb, found);
        }
        overlap
    }
}

fn median_depth(pixels: &ConfidentPixels, frame: usize) -> Option<f64> {
    let depth = pixels.prediction().frame_depth(frame);
    let mut depths: Vec<f64> = pixels
        .of_frame(frame)
        .map(|index| f64::from(depth[index as usize]))
        .collect();
    median(&mut depths)
}
