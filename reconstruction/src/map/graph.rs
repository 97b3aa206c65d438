//! The chunks of a map whose windows had worlds of their own, and what is known about how they lie to
//! each other.
//!
//! A window that has frames of several chunks says where it lies to each of them. Along a stream the
//! small errors of these joins add up. When the camera comes back to a place, a window has frames of both
//! ends, and what it says about them spreads the error over the chunks in between.

use std::collections::{BTreeMap, VecDeque};

use nalgebra::{Point3, Similarity3};
use serde::{Deserialize, Serialize};

use super::join::JoinSpread;

/// What a join may be wrong by, so that errors that have added up along a loop are told from a place that
/// only looks the same: 2.3 degrees, 8 %, and a tenth of the depth.
const MOST_DRIFT: JoinSpread = JoinSpread {
    rotation: 0.04,
    scale: 0.08,
    centre: 0.1,
};
/// Joins between two chunks from which on another one closes a loop.
const SHORTEST_LOOP: usize = 3;

/// Chunks and joins between them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ChunkGraph {
    /// From the world of the chunk's window to that of its piece, by the index of the chunk.
    pub(super) nodes: BTreeMap<usize, Similarity3<f64>>,
    pub(super) edges: Vec<ChunkEdge>,
}

/// What a window says about a chunk that is not its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkEdge {
    pub from: usize,
    pub to: usize,
    /// From the world of the window of the one to that of the other.
    pub similarity: Similarity3<f64>,
    pub spread: JoinSpread,
    /// Typical depth of the frames, in the unit of the chunk `to`.
    pub depth: f64,
    /// Frames that agree about it.
    pub frames: usize,
}

/// Where a chunk of a joined window belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkNode {
    /// From the world of the window to that of its piece.
    pub similarity: Similarity3<f64>,
    /// To the chunks that its window has frames of; those that closed no believable loop are left out.
    pub edges: Vec<ChunkEdge>,
}

impl ChunkNode {
    /// A chunk that begins a piece, in the coordinates of its window.
    pub(super) fn alone() -> Self {
        Self {
            similarity: Similarity3::identity(),
            edges: Vec::new(),
        }
    }
}

impl ChunkGraph {
    pub fn node(&self, chunk: usize) -> Option<&Similarity3<f64>> {
        self.nodes.get(&chunk)
    }

    pub fn add(&mut self, chunk: usize, node: ChunkNode) {
        self.nodes.insert(chunk, node.similarity);
        self.edges.extend(node.edges);
    }

    pub fn add_edge(&mut self, edge: ChunkEdge) {
        self.edges.push(edge);
    }

    /// A chunk has moved.
    pub fn shift(&mut self, chunk: usize, by: &Similarity3<f64>) {
        if let Some(node) = self.nodes.get_mut(&chunk) {
            *node = by * *node;
        }
    }

    /// The chunks on the shortest way by joins from one to another one, with both ends.
    fn way(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut before = BTreeMap::from([(from, from)]);
        let mut next = VecDeque::from([from]);
        while let Some(chunk) = next.pop_front() {
            if chunk == to {
                let mut way = vec![to];
                while way.last() != Some(&from) {
                    way.push(*before.get(way.last()?)?);
                }
                return Some(way);
            }
            for edge in &self.edges {
                let other = match chunk {
                    _ if edge.from == chunk => edge.to,
                    _ if edge.to == chunk => edge.from,
                    _ => continue,
                };
                before.entry(other).or_insert_with(|| {
                    next.push_back(other);
                    chunk
                });
            }
        }
        None
    }

    /// Whether an edge of a new chunk closes a loop, beside an edge that places it. `None` if it does,
    /// but what it says is farther off than errors can add up to along the loop: it is a place that
    /// looks alike.
    pub fn closes_loop(&self, edge: &ChunkEdge, placed: &ChunkEdge) -> Option<bool> {
        let Some(way) = self.way(placed.to, edge.to) else {
            return Some(false);
        };
        if way.len() <= SHORTEST_LOOP {
            return Some(false);
        }
        let (here, there) = (self.node(placed.to)?, self.node(edge.to)?);
        let (expected, said) = (here * placed.similarity, there * edge.similarity);
        let off = said * expected.inverse();
        let joins = way.len() as f64;
        let places: Vec<Point3<f64>> = way
            .iter()
            .filter_map(|chunk| Some(self.node(*chunk)? * Point3::origin()))
            .collect();
        let travelled: f64 = places
            .windows(2)
            .map(|pair| nalgebra::distance(&pair[0], &pair[1]))
            .sum();
        let rotation = MOST_DRIFT.rotation * joins;
        let scale = MOST_DRIFT.scale * joins;
        let at = expected * Point3::origin();
        let depth = edge.depth * there.scaling();
        let shift = MOST_DRIFT.centre * joins * depth + (rotation + scale) * travelled;
        let believable = off.isometry.rotation.angle() <= rotation
            && off.scaling().ln().abs() <= scale
            && (off * at - at).norm() <= shift;
        believable.then_some(true)
    }
}

#[cfg(test)]
mod tests;
