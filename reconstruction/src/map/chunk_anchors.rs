//! What the known cameras of its frames say about where the chunk of a joined window belongs.

use std::collections::BTreeMap;

use nalgebra::Similarity3;

use super::frames::Map;
use super::join::JoinSpread;
use super::known::KnownCameras;
use crate::anchors::{AnchorPair, WorldFit, reach};

/// Deviations of a known camera where the client gives none: 1 degree, and a share of the path.
const USUAL_ROTATION: f64 = 0.017;
const USUAL_POSITION: f64 = 0.01;
/// The path of a chunk's known cameras that says something about its scale, relative to the whole path.
const SHORTEST_PATH: f64 = 0.05;
/// A deviation of what nothing is said about: its weight is next to nothing.
const UNKNOWN: f64 = 1e3;
/// Part of the path, and angle in radians, that a chunk with one known camera may be off: more is taken
/// for a wrong camera. Several confirm each other.
const MOST_ALONE: JoinSpread = JoinSpread {
    rotation: 0.14,
    scale: f64::INFINITY,
    centre: 0.1,
};

/// Where a chunk belongs in the world of the known cameras: an edge of the graph to a node that is held.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkAnchor {
    pub(super) chunk: usize,
    /// From the world of its window to the known one.
    pub(super) similarity: Similarity3<f64>,
    /// Standard deviations; that of the centre is a length in the known world.
    pub(super) spread: JoinSpread,
    /// Whether the chunk is farther off than that.
    pub(super) is_off: bool,
}

impl Map {
    /// What the known cameras say about each chunk of the piece that is drawn; nothing unless it has their
    /// world.
    pub fn chunk_anchors(&self, known: &KnownCameras) -> Vec<ChunkAnchor> {
        if !self.has_known_world() {
            return Vec::new();
        }
        let mut by_chunk: BTreeMap<usize, Vec<AnchorPair>> = BTreeMap::new();
        for (number, pair) in self.anchors(known) {
            if let Some(place) = self.frame(number).and_then(|frame| frame.place) {
                by_chunk.entry(place.chunk).or_default().push(pair);
            }
        }
        let path = self.path();
        by_chunk
            .into_iter()
            .filter_map(|(chunk, pairs)| self.chunk_anchor(chunk, &pairs, path))
            .collect()
    }

    /// Whether a chunk is off by more than the known cameras may be.
    pub fn is_off(anchors: &[ChunkAnchor]) -> bool {
        anchors.iter().any(|anchor| anchor.is_off)
    }

    fn chunk_anchor(&self, chunk: usize, pairs: &[AnchorPair], path: f64) -> Option<ChunkAnchor> {
        let node = self.graph.node(chunk)?;
        let fit = WorldFit::of(pairs, SHORTEST_PATH * path).ok();
        let count = fit.map_or(1, |fit| fit.agreeing) as f64;
        let given = |part: fn(&AnchorPair) -> Option<f64>| {
            pairs.iter().filter_map(part).fold(0.0, f64::max)
        };
        let or = |given: f64, usual: f64| if given > 0.0 { given } else { usual };
        let rotation = or(given(|pair| pair.deviations.rotation), 0.0).to_radians();
        let rotation = or(rotation, USUAL_ROTATION) / count.sqrt();
        let position = or(
            given(|pair| pair.deviations.position),
            USUAL_POSITION * path,
        );
        let movement = match fit {
            Some(fit) => fit.similarity,
            None => nearest(pairs)?,
        };
        let length = reach(
            &pairs
                .iter()
                .map(AnchorPair::found_centre)
                .collect::<Vec<_>>(),
        );
        let spread = JoinSpread {
            rotation,
            scale: match fit {
                Some(_) => position / length,
                None => UNKNOWN,
            },
            centre: position / count.sqrt(),
        };
        let at = pairs.first()?.found_centre();
        let shift = nalgebra::distance(&(movement * at), &at);
        let turn = movement.isometry.rotation.angle();
        let is_alone_off = shift > MOST_ALONE.centre * path || turn > MOST_ALONE.rotation;
        if fit.is_none() && is_alone_off {
            return None;
        }
        Some(ChunkAnchor {
            chunk,
            similarity: movement * node,
            spread,
            is_off: shift > spread.centre
                || turn > spread.rotation
                || movement.scaling().ln().abs() > spread.scale,
        })
    }
}

/// The movement of the camera that is off least, where they do not agree or are at one place.
fn nearest(pairs: &[AnchorPair]) -> Option<Similarity3<f64>> {
    let identity = Similarity3::identity();
    let least = |pair: &&AnchorPair| pair.off(&identity).1;
    let pair = pairs.iter().min_by(|a, b| least(a).total_cmp(&least(b)))?;
    let movement = pair.known * pair.found.inverse();
    Some(Similarity3::from_isometry(movement, 1.0))
}
