//! Where a window belongs, and which of its frames do.

use nalgebra::Similarity3;

use super::covisible;
use super::graph::ChunkNode;
use super::join::JoinSpread;
use super::pieces::PieceJoin;
use crate::prediction::Prediction;

/// Where a window belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The piece of the map that the window belongs to.
    pub piece: usize,
    /// From the window's world to that of the piece.
    pub similarity: Similarity3<f64>,
    /// How much the frames that say so differ.
    pub spread: JoinSpread,
    /// Other pieces that the window has found to be the same.
    pub joins: Vec<PieceJoin>,
    /// Where the chunk of the window's new frames lies to others.
    pub node: ChunkNode,
    /// Whether the window has come back to a place that the map has, so that the chunks in between may
    /// move.
    pub closes_loop: bool,
    /// For each frame of the window, whether it sees something of what those frames see.
    pub(super) connected: Vec<bool>,
}

impl Placement {
    /// Brings the prediction of the window into the coordinates of the piece. Frames that have nothing
    /// in common with those that joined it become unregistered.
    pub fn apply(&self, prediction: &mut Prediction) {
        prediction.transform(&self.similarity);
        keep_only(prediction, &self.connected);
    }
}

/// Keeps the frames of a window that begins a map or a piece as far as they belong together. The others
/// become unregistered.
pub fn keep_connected(prediction: &mut Prediction) {
    let kept = covisible::in_largest_group(&covisible::groups(prediction));
    keep_only(prediction, &kept);
}

/// Makes the other frames unregistered.
fn keep_only(prediction: &mut Prediction, kept: &[bool]) {
    for (frame, kept) in kept.iter().enumerate() {
        if !kept {
            prediction.unregister(frame);
        }
    }
}
