//! Pieces of a map: frames that are placed relative to each other, but not to those of other pieces.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use nalgebra::Similarity3;
use serde::{Deserialize, Serialize};

use super::chunk::{Chunk, FirstChunk, NextChunk};
use super::chunk_anchors::ChunkAnchor;
use super::frames::Map;
use super::graph::{ChunkEdge, ChunkNode};
use crate::anchors::KnownWorld;
use crate::cloud::{Alignment, Unaligned, View, median};

/// Movements of chunks below this, in radians, as a share of lengths and in units of the map, are left
/// out: they are rounding.
const LEAST_MOVE: f64 = 1e-5;

/// The pieces of a map, by their numbers. A piece that was joined to another one has no frames left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// The piece of each chunk.
    of_chunks: Vec<usize>,
    /// The piece that is drawn.
    drawn: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// From the world of its cameras to GLB coordinates.
    pub world_to_glb: Similarity3<f64>,
    /// How its first chunk was aligned with earlier results.
    alignment: Alignment,
    /// If its world is that of the clients' known cameras.
    #[serde(default)]
    pub known: Option<KnownWorld>,
}

/// Two pieces that a window has found to be one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PieceJoin {
    /// The piece that moves.
    pub from: usize,
    /// The piece that keeps its coordinates.
    pub to: usize,
    /// From the world of the one to that of the other.
    pub similarity: Similarity3<f64>,
    /// What that says about a chunk of each, if the window adds no chunk.
    pub link: Option<ChunkEdge>,
}

impl Pieces {
    /// One piece, without chunks.
    pub fn begin(first: &FirstChunk) -> Self {
        Self {
            pieces: vec![Piece {
                world_to_glb: first.world_to_glb,
                alignment: first.alignment.clone(),
                known: first.known,
            }],
            of_chunks: Vec::new(),
            drawn: 0,
        }
    }

    /// A chunk of a piece was added. Returns whether it begins the piece.
    pub fn note_chunk(&mut self, piece: usize) -> bool {
        let begins = !self.of_chunks.contains(&piece);
        self.of_chunks.push(piece);
        begins
    }

    pub fn get(&self, piece: usize) -> Option<&Piece> {
        self.pieces.get(piece)
    }

    pub fn get_mut(&mut self, piece: usize) -> Option<&mut Piece> {
        self.pieces.get_mut(piece)
    }

    pub fn of_chunk(&self, chunk: usize) -> usize {
        self.of_chunks[chunk]
    }

    pub fn world_to_glb(&self) -> &Similarity3<f64> {
        &self.pieces[self.drawn].world_to_glb
    }

    pub fn alignment(&self) -> &Alignment {
        &self.pieces[self.drawn].alignment
    }
}

impl Map {
    /// Adds the chunk of frames that belong together, but not to the frames of the map, as a piece.
    /// Returns its number.
    pub fn add_piece(&mut self, first: FirstChunk) -> usize {
        let piece = self.pieces.pieces.len();
        self.pieces.pieces.push(Piece {
            world_to_glb: first.world_to_glb,
            alignment: Alignment::Unaligned {
                reason: Unaligned::NoCommonFrame,
            },
            known: first.known,
        });
        self.add(NextChunk {
            piece,
            node: Some(ChunkNode::alone()),
            ..first.chunk
        });
        piece
    }

    /// The piece that is drawn: the largest one.
    pub fn drawn_piece(&self) -> usize {
        self.pieces.drawn
    }

    /// The piece of a placed frame.
    pub fn piece_of(&self, number: u64) -> Option<usize> {
        let frame = self.frame(number).filter(|frame| frame.is_located())?;
        Some(self.pieces.of_chunk(frame.place?.chunk))
    }

    /// The frames that are placed in whatever piece, with its number; by their ascending numbers.
    pub fn located(&self) -> impl DoubleEndedIterator<Item = (u64, usize)> {
        let frames = self.frames.iter();
        let located = frames.filter(|(_, frame)| frame.is_located());
        located
            .filter_map(|(number, frame)| Some((*number, self.pieces.of_chunk(frame.place?.chunk))))
    }

    /// Number of the frames of each piece that has any.
    pub fn piece_sizes(&self) -> BTreeMap<usize, usize> {
        let mut sizes = BTreeMap::new();
        for (_, piece) in self.located() {
            *sizes.entry(piece).or_default() += 1;
        }
        sizes
    }

    /// From the world of a piece to its GLB coordinates; for an unknown piece, those of the one that is
    /// drawn.
    pub fn piece_to_glb(&self, piece: usize) -> &Similarity3<f64> {
        let piece = self.pieces.pieces.get(piece);
        piece.map_or_else(|| self.world_to_glb(), |piece| &piece.world_to_glb)
    }

    /// The chunk that began a piece.
    pub(super) fn first_chunk(&self, piece: usize) -> Option<usize> {
        self.pieces.of_chunks.iter().position(|its| *its == piece)
    }

    /// The chunks of the piece that is drawn, with their indices.
    pub fn drawn_chunks(&self) -> impl Iterator<Item = (usize, &Chunk)> {
        let chunks = self.chunks().iter().enumerate();
        chunks.filter(|(index, _)| self.pieces.of_chunk(*index) == self.pieces.drawn)
    }

    /// Whether a join is one of pieces of this map.
    pub fn fits_join(&self, join: &PieceJoin) -> bool {
        let pieces = self.pieces.pieces.len();
        join.from < pieces && join.to < pieces
    }

    /// Whether a chunk can be added: the pieces and chunks that it names are there.
    pub fn fits(&self, chunk: &NextChunk) -> bool {
        chunk.piece < self.pieces.pieces.len()
            && chunk.joins.iter().all(|join| self.fits_join(join))
            && (chunk.moves.iter()).all(|(moved, _)| *moved <= self.pieces.of_chunks.len())
    }

    /// Moves one piece into the coordinates of another one.
    pub fn join(&mut self, join: &PieceJoin) {
        let to_glb = self.pieces.pieces[join.to].world_to_glb;
        for frame in self.frames.values_mut() {
            let of_piece = |chunk: usize| self.pieces.of_chunks[chunk] == join.from;
            if frame.is_located() && frame.place.is_some_and(|place| of_piece(place.chunk)) {
                frame.shift(&join.similarity, &to_glb);
            }
        }
        for (chunk, piece) in self.pieces.of_chunks.iter_mut().enumerate() {
            if *piece == join.from {
                *piece = join.to;
                self.graph.shift(chunk, &join.similarity);
            }
        }
        if let Some(link) = &join.link {
            self.graph.add_edge(link.clone());
        }
        self.draw_largest_piece();
    }

    /// Moves the frames of a chunk.
    pub(super) fn shift_chunk(&mut self, chunk: usize, by: &Similarity3<f64>) {
        let to_glb = self.pieces.pieces[self.pieces.of_chunks[chunk]].world_to_glb;
        for frame in self.frames.values_mut() {
            if frame.is_located() && frame.place.is_some_and(|place| place.chunk == chunk) {
                frame.shift(by, &to_glb);
                frame.revision = self.revision;
            }
        }
        self.graph.shift(chunk, by);
    }

    /// How the chunks move so that all joins and [anchors](Self::chunk_anchors) agree best. Without
    /// anchors the first one stays; and those that move by less than can be seen do.
    pub fn relaxed(&self, anchors: &[ChunkAnchor]) -> Vec<(usize, Similarity3<f64>)> {
        let is_seen = |by: &Similarity3<f64>| {
            let turn = by.isometry.rotation.angle();
            let shift = by.isometry.translation.vector.norm();
            turn.max(by.scaling().ln().abs()).max(shift) > LEAST_MOVE
        };
        let moves = self.graph.relax(anchors).into_iter();
        moves.filter(|(_, by)| is_seen(by)).collect()
    }

    /// Relative standard deviation of the units of length of the windows of the piece that is drawn,
    /// if each had its own: how far metres can be trusted if they are metres.
    pub fn scale_spread(&self) -> Option<f64> {
        let chunks = self.drawn_chunks();
        let nodes = chunks.filter_map(|(chunk, _)| self.graph.node(chunk));
        let mut scales: Vec<f64> = nodes.map(|node| node.scaling().ln()).collect();
        if scales.len() < 2 {
            return None;
        }
        let middle = median(&mut scales)?;
        let squares: f64 = scales.iter().map(|scale| (scale - middle).powi(2)).sum();
        Some((squares / scales.len() as f64).sqrt())
    }

    /// Draws the piece with the most frames; of equally large ones the one that is drawn already, then
    /// the earlier one.
    pub(super) fn draw_largest_piece(&mut self) {
        let sizes = self.piece_sizes();
        let drawn = self.pieces.drawn;
        let rank = |(piece, size): &(&usize, &usize)| (**size, **piece == drawn, Reverse(**piece));
        if let Some((&largest, _)) = sizes.iter().max_by_key(rank) {
            self.pieces.drawn = largest;
        }
        let (drawn, to_glb) = (self.pieces.drawn, *self.pieces.world_to_glb());
        let newest = self.pieces.of_chunks.len().saturating_sub(1);
        let mut redrawn = false;
        for frame in self.frames.values_mut() {
            let (true, Some(place)) = (frame.is_located(), frame.place) else {
                continue;
            };
            let is_drawn = self.pieces.of_chunks[place.chunk] == drawn;
            if is_drawn == frame.camera.pose.is_some() {
                continue;
            }
            redrawn |= place.chunk != newest;
            let view = View::from_camera(&frame.camera(true)).filter(|_| is_drawn);
            frame.draw(view.map(|view| (to_glb * view.camera_to_world).isometry));
        }
        self.drawing += u64::from(redrawn);
    }

    /// The rank of each piece that has frames: 0 for the one that is drawn, then the largest first.
    pub(super) fn piece_ranks(&self) -> BTreeMap<usize, u32> {
        let mut sizes: Vec<(usize, usize)> = self.piece_sizes().into_iter().collect();
        let drawn = self.pieces.drawn;
        sizes.sort_by_key(|(piece, size)| (*piece != drawn, Reverse(*size), *piece));
        let pieces = sizes.into_iter().map(|(piece, _)| piece);
        pieces.zip(0..).collect()
    }
}
