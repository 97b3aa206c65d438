//! Windows whose frames have cameras that the client knows.

use nalgebra::Similarity3;

use super::graph::{ChunkEdge, ChunkNode};
use super::join::JoinSpread;
use super::joined::JoinedWindow;
use super::placement::Placement;
use crate::cloud::{View, median};
use crate::model::KnownCamera;
use crate::prediction::{Camera, Prediction};

/// Two cameras are the same if their numbers differ by this share of the largest at most.
const SAME_CAMERA: f64 = 1e-6;
/// Distance between cameras, relative to the depth, below which they are at one place.
const SHORTEST_BASE: f64 = 1e-4;

impl JoinedWindow<'_> {
    /// The placement of a window whose frames have the clients' cameras, in a piece whose frames have
    /// theirs, too: both are in the world of these cameras already. `None` if not all are, or if they are
    /// at one place, which gives no unit of length.
    pub(super) fn by_known_cameras(&self, prediction: &Prediction) -> Option<Placement> {
        let known = self.known?.iter().zip(self.numbers);
        let views: Vec<(View, u64)> = known
            .zip(&prediction.cameras)
            .map(|((known, number), camera)| {
                let view = View::from_camera(camera)?;
                is_at(camera, known).then_some((view, *number))
            })
            .collect::<Option<_>>()?;
        let mut placed = self.numbers.iter().zip(self.known?);
        let at_home = placed.all(|(number, known)| match self.map.camera(*number) {
            Some(camera) => is_at(&camera, known),
            None => true,
        });
        let pieces = self
            .numbers
            .iter()
            .filter_map(|number| self.map.piece_of(*number));
        let piece = pieces.clone().next()?;
        let (first, _) = views.first()?;
        let distance =
            |(view, _): &(View, u64)| nalgebra::distance(&view.centre(), &first.centre());
        let apart = views.iter().map(distance).fold(0.0, f64::max);
        let mut depths: Vec<f64> = prediction.depth.iter().copied().map(f64::from).collect();
        let depth = median(&mut depths)?;
        if !at_home || pieces.clone().any(|other| other != piece) || apart < SHORTEST_BASE * depth {
            return None;
        }
        let begin = self.map.first_chunk(piece)?;
        let node = self.map.graph.node(begin)?;
        Some(Placement {
            piece,
            similarity: Similarity3::identity(),
            spread: JoinSpread::NONE,
            joins: Vec::new(),
            node: ChunkNode {
                similarity: Similarity3::identity(),
                // It holds the chunk where the cameras are, whatever else moves.
                edges: vec![ChunkEdge {
                    from: self.map.chunks().len(),
                    to: begin,
                    similarity: node.inverse(),
                    spread: JoinSpread::NONE,
                    depth: depth / node.scaling(),
                    frames: views.len(),
                }],
            },
            closes_loop: false,
            connected: vec![true; prediction.len()],
        })
    }
}

/// Whether a camera is where the client says, up to rounding.
fn is_at(camera: &Camera, known: &KnownCamera) -> bool {
    let off = (camera.extrinsics - known.extrinsics).amax();
    off <= SAME_CAMERA * known.extrinsics.amax()
}
