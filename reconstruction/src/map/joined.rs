//! A window of a model that cannot extend: its frames that the map has, too, say where it belongs.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::covisible;
use super::frames::{FramePlace, Map};
use super::graph::{ChunkEdge, ChunkNode};
use super::join::{ComparedDepths, DepthMap, Join, SharedFrame};
use super::pieces::PieceJoin;
use super::placement::Placement;
use crate::cloud::{View, median};
use crate::model::KnownCamera;
use crate::prediction::Prediction;

/// Depth and confidence of a frame as its chunk has them.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownDepth {
    /// z in camera coordinates, row-major.
    pub depth: Vec<f32>,
    /// At least 1, where 1 means unknown.
    pub confidence: Vec<f32>,
}

/// Where the depths of the map's frames come from.
pub trait SourceOfDepth {
    /// Why depth cannot be read.
    type Error;

    /// The depth of a frame of a chunk.
    ///
    /// # Errors
    /// If it cannot be read.
    fn depth(&self, place: FramePlace) -> Result<KnownDepth, Self::Error>;
}

/// The frames of a window in the order of its prediction, by their numbers.
#[derive(Debug, Clone, Copy)]
pub struct JoinedWindow<'a> {
    pub map: &'a Map,
    /// All frames; those that the map has placed are where the window is joined.
    pub numbers: &'a [u64],
    /// The clients' own cameras of all frames, if each has one.
    pub known: Option<&'a [KnownCamera]>,
}

/// A frame of the window that a piece of the map has.
struct Shared {
    /// Index in the window.
    index: usize,
    /// The chunk that has it.
    chunk: usize,
    frame: SharedFrame,
}

/// Frames of a window that see the same, and the pieces of the map that they are joined to: the largest
/// first.
struct JoinedGroup<'a> {
    group: usize,
    joined: Vec<JoinedPiece<'a>>,
}

/// A piece of the map that frames of a window are joined to.
struct JoinedPiece<'a> {
    piece: usize,
    /// The frames of the window that the piece has.
    shared: Vec<&'a Shared>,
    join: Join,
}

impl JoinedWindow<'_> {
    /// Finds where the window belongs; `None` if nothing certain is in common. Only frames that see the
    /// same can say where the others belong, so of several groups of such frames that are joined to the
    /// map one is placed: that with the most new frames. Of several pieces the largest one keeps its
    /// coordinates.
    ///
    /// # Errors
    /// That of the source.
    pub fn place<S: SourceOfDepth>(
        &self,
        prediction: &Prediction,
        source: &S,
    ) -> Result<Option<Placement>, S::Error> {
        if let Some(placement) = self.by_known_cameras(prediction) {
            return Ok(Some(placement));
        }
        let groups = covisible::groups(prediction);
        let shared = self.shared(prediction, source)?;
        let mut names = groups.clone();
        names.sort_unstable();
        names.dedup();
        let joined = names
            .into_iter()
            .map(|group| self.join_group(group, &groups, &shared));
        let new = |joined: &JoinedGroup| {
            let frames = self.numbers.iter().zip(&groups);
            let of_group = frames.filter(|(_, group)| **group == joined.group);
            of_group
                .filter(|(number, _)| self.map.piece_of(**number).is_none())
                .count()
        };
        let rank = |joined: &JoinedGroup| {
            let joined_frames = joined.joined.iter();
            let agreeing = joined_frames.map(|joined| joined.join.agreeing.len());
            (new(joined), joined.joined.len(), agreeing.sum::<usize>())
        };
        let best = joined
            .filter(|joined| !joined.joined.is_empty())
            .max_by_key(rank);
        let Some(JoinedGroup { group, joined }) = best else {
            return Ok(None);
        };
        let Some((largest, others)) = joined.split_first() else {
            return Ok(None);
        };
        let similarity = largest.join.similarity;
        let joins = others.iter().map(|other| PieceJoin {
            from: other.piece,
            to: largest.piece,
            similarity: similarity * other.join.similarity.inverse(),
            link: self.link(other, largest),
        });
        let (edges, closes_loop) = self.edges(&joined);
        Ok(Some(Placement {
            piece: largest.piece,
            similarity,
            spread: largest.join.spread,
            joins: joins.collect(),
            node: ChunkNode { similarity, edges },
            closes_loop,
            connected: groups.iter().map(|other| *other == group).collect(),
        }))
    }

    /// What the window says about each chunk that it has frames of, and whether that closes a loop.
    fn edges(&self, joined: &[JoinedPiece]) -> (Vec<ChunkEdge>, bool) {
        let mut edges = Vec::new();
        let mut closes_loop = false;
        for joined in joined {
            let Some(placed) = self.edge_of(joined.main_chunk(), joined.frames(), &joined.join)
            else {
                continue;
            };
            let mut chunks: Vec<usize> = joined.shared.iter().map(|shared| shared.chunk).collect();
            chunks.sort_unstable();
            chunks.dedup();
            let found = chunks.into_iter().filter_map(|chunk| {
                let of_chunk = joined.shared.iter().filter(|shared| shared.chunk == chunk);
                let frames: Vec<SharedFrame> = of_chunk.map(|shared| shared.frame).collect();
                self.edge_of(Some(chunk), frames.iter(), &Join::of(&frames)?)
            });
            let before = edges.len();
            for edge in found {
                if let Some(closes) = self.map.graph.closes_loop(&edge, &placed) {
                    closes_loop |= closes;
                    edges.push(edge);
                }
            }
            if edges.len() == before {
                edges.push(placed);
            }
        }
        (edges, closes_loop)
    }

    /// An edge from the window's chunk to another one.
    fn edge_of<'b>(
        &self,
        chunk: Option<usize>,
        frames: impl Iterator<Item = &'b SharedFrame>,
        join: &Join,
    ) -> Option<ChunkEdge> {
        let node = self.map.graph.node(chunk?)?;
        let mut depths: Vec<f64> = frames.map(|frame| frame.depths.depth).collect();
        Some(ChunkEdge {
            from: self.map.chunks().len(),
            to: chunk?,
            similarity: node.inverse() * join.similarity,
            spread: join.spread,
            depth: median(&mut depths)? / node.scaling(),
            frames: join.agreeing.len(),
        })
    }

    /// What the window says about two of the map's chunks, one of each piece.
    fn link(&self, from: &JoinedPiece, to: &JoinedPiece) -> Option<ChunkEdge> {
        let edge = self.edge_of(to.main_chunk(), to.frames(), &to.join)?;
        let other = self.edge_of(from.main_chunk(), from.frames(), &from.join)?;
        Some(ChunkEdge {
            from: other.to,
            similarity: edge.similarity * other.similarity.inverse(),
            frames: edge.frames.min(other.frames),
            ..edge
        })
    }

    fn join_group<'b>(
        &self,
        group: usize,
        groups: &[usize],
        shared: &'b BTreeMap<usize, Vec<Shared>>,
    ) -> JoinedGroup<'b> {
        let mut joined: Vec<JoinedPiece> = shared
            .iter()
            .filter_map(|(piece, shared)| {
                let of_group = shared.iter().filter(|shared| groups[shared.index] == group);
                let shared: Vec<&Shared> = of_group.collect();
                let frames: Vec<SharedFrame> = shared.iter().map(|shared| shared.frame).collect();
                Some(JoinedPiece {
                    piece: *piece,
                    join: Join::of(&frames)?,
                    shared,
                })
            })
            .collect();
        let sizes = self.map.piece_sizes();
        joined.sort_by_key(|joined| {
            let size = sizes.get(&joined.piece).copied();
            (Reverse(size), joined.piece)
        });
        JoinedGroup { group, joined }
    }

    /// The frames that each piece of the map has.
    fn shared<S: SourceOfDepth>(
        &self,
        prediction: &Prediction,
        source: &S,
    ) -> Result<BTreeMap<usize, Vec<Shared>>, S::Error> {
        let mut shared: BTreeMap<usize, Vec<Shared>> = BTreeMap::new();
        for (index, &number) in self.numbers.iter().enumerate() {
            let view = prediction.cameras.get(index).and_then(View::from_camera);
            let known = self.map.camera(number).as_ref().and_then(View::from_camera);
            let (Some(view), Some(known)) = (view, known) else {
                continue;
            };
            let (Some(piece), Some(frame)) = (self.map.piece_of(number), self.map.frame(number))
            else {
                continue;
            };
            // One that shows nothing new has no depth.
            let Some(place) = self.map.place_with_maps(number) else {
                continue;
            };
            let depth = source.depth(place)?;
            let depths = ComparedDepths::of(
                DepthMap {
                    depth: &depth.depth,
                    confidence: &depth.confidence,
                },
                DepthMap {
                    depth: prediction.frame_depth(index),
                    confidence: prediction.frame_confidence(index),
                },
            );
            if let Some(depths) = depths {
                shared.entry(piece).or_default().push(Shared {
                    index,
                    chunk: place.chunk,
                    frame: SharedFrame {
                        in_map: known.camera_to_world,
                        in_window: view.camera_to_world,
                        depths: depths.times(frame.depth_factor),
                    },
                });
            }
        }
        Ok(shared)
    }
}

impl JoinedPiece<'_> {
    fn frames(&self) -> impl Iterator<Item = &SharedFrame> {
        self.shared.iter().map(|shared| &shared.frame)
    }

    /// The chunk that most of the frames that agree are of; of several the latest.
    fn main_chunk(&self) -> Option<usize> {
        let agreeing = self.join.agreeing.iter();
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for &index in agreeing {
            *counts.entry(self.shared.get(index)?.chunk).or_default() += 1;
        }
        let most = counts
            .into_iter()
            .max_by_key(|(chunk, count)| (*count, *chunk));
        most.map(|(chunk, _)| chunk)
    }
}
