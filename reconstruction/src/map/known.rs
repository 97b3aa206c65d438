//! The map and the cameras that the client knows: whether it has their world, and how far it is off.

use std::collections::BTreeMap;

use nalgebra::{Point3, Similarity3};
use serde::{Deserialize, Serialize};

use super::correction::{Corrections, FrameCorrection};
use super::drift::Drift;
use super::frames::Map;
use crate::anchors::{AnchorPair, AnchorReport, KnownWorld, Misfit, WorldFit, reach};
use crate::model::{KnownCamera, Scale};

/// The path of known cameras that gives a unit of length, relative to that of all cameras.
const SHORTEST_PATH: f64 = 0.01;

/// Cameras that the client knows, by the numbers of their frames.
pub type KnownCameras = BTreeMap<u64, KnownCamera>;

/// The world of known cameras, where a piece of the map has had one of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorldChange {
    pub piece: usize,
    /// From the world of the piece to the new one.
    pub similarity: Similarity3<f64>,
    pub known: KnownWorld,
}

impl Map {
    /// How lengths of a piece relate to the client's, if it has the world of the known cameras.
    fn known_world(&self, piece: usize) -> Option<KnownWorld> {
        self.pieces.get(piece)?.known
    }

    /// Whether the piece that is drawn has the world of the known cameras.
    pub fn has_known_world(&self) -> bool {
        self.known_world(self.drawn_piece()).is_some()
    }

    /// The length of the unit that the model computes in, in the world of a piece.
    pub fn model_unit(&self, piece: usize) -> f64 {
        self.known_world(piece)
            .map_or(1.0, |known| known.model_unit)
    }

    /// The frames of the piece that is drawn whose cameras are known, by their ascending numbers, with
    /// lengths in the unit of the piece.
    pub(super) fn anchors(&self, known: &KnownCameras) -> Vec<(u64, AnchorPair)> {
        let unit = self.known_world(self.drawn_piece());
        let unit = unit.map_or(1.0, |world| world.unit);
        let pair = |(number, known): (&u64, &KnownCamera)| {
            let found = self.frame(*number)?.view()?.camera_to_world;
            Some((*number, AnchorPair::new(found, known)?.with_unit(unit)))
        };
        known.iter().filter_map(pair).collect()
    }

    /// The size of the path of all cameras of the piece that is drawn.
    pub(super) fn path(&self) -> f64 {
        let views = self.placed().filter_map(|(_, frame)| frame.view());
        let centres: Vec<Point3<f64>> = views.map(|view| view.centre()).collect();
        reach(&centres)
    }

    fn fit(&self, known: &KnownCameras) -> Result<WorldFit, Misfit> {
        let pairs: Vec<AnchorPair> = self
            .anchors(known)
            .into_iter()
            .map(|(_, pair)| pair)
            .collect();
        WorldFit::of(&pairs, SHORTEST_PATH * self.path())
    }

    /// The world of the known cameras, if the piece that is drawn has one of its own and enough of its
    /// cameras are known.
    pub fn world_change(&self, known: &KnownCameras, scale: Scale) -> Option<WorldChange> {
        let piece = self.drawn_piece();
        if self.known_world(piece).is_some() {
            return None;
        }
        let (world, similarity) = KnownWorld::of(&self.fit(known).ok()?, scale);
        Some(WorldChange {
            piece,
            similarity,
            known: world,
        })
    }

    /// Whether a change is one of a piece of this map.
    pub fn fits_world(&self, change: &WorldChange) -> bool {
        self.pieces.get(change.piece).is_some()
    }

    /// Gives a piece the world of the known cameras. Its coordinates in results stay: only the world of its
    /// cameras and its unit of length are others, so nothing moves for who follows the map.
    pub fn change_world(&mut self, change: &WorldChange) {
        let Some(piece) = self.pieces.get_mut(change.piece) else {
            return;
        };
        piece.known = Some(change.known);
        piece.world_to_glb *= change.similarity.inverse();
        let pieces = &self.pieces;
        let of_piece = |chunk: usize| pieces.of_chunk(chunk) == change.piece;
        for frame in self.frames.values_mut() {
            if frame.is_located() && frame.place.is_some_and(|place| of_piece(place.chunk)) {
                frame.change_world(&change.similarity);
            }
        }
        for chunk in 0..self.chunks().len() {
            if self.pieces.of_chunk(chunk) == change.piece {
                self.graph.shift(chunk, &change.similarity);
            }
        }
    }

    /// Where frames belong by the known cameras among them, if that is significant beside how far these
    /// may be off themselves. For a map that a model extends. All of it moves first: the cameras that gave
    /// it its world may have been few and noisy, and an adjustment may have changed its size.
    pub fn anchor_corrections(&self, known: &KnownCameras, scale: Scale) -> Option<Corrections> {
        if !self.has_known_world() {
            return None;
        }
        let mut anchors = self.anchors(known);
        let fit = self.fit(known).ok();
        let by = fit.map(|fit| KnownWorld::of(&fit, scale).1);
        let by = by.filter(|by| Drift::is_felt(&anchors, by));
        let all = by.unwrap_or_else(Similarity3::identity);
        for (_, pair) in &mut anchors {
            *pair = pair.moved(&all);
        }
        let mut corrections = Corrections::default();
        match Drift::of(&anchors).and_then(|drift| drift.significant()) {
            Some(movements) => {
                for (number, movement) in movements {
                    corrections.insert(
                        number,
                        movement.correction(&self.frame(number)?.view()?, &all),
                    );
                }
            }
            None if by.is_some() => {
                // The others move with it.
                let (number, frame) = self.placed().next()?;
                corrections.insert(number, FrameCorrection::of_all(&frame.view()?, &all));
            }
            None => return None,
        }
        Some(corrections)
    }

    /// How the known cameras and the map agree; `None` if no camera is known.
    pub fn anchor_report(&self, known: &KnownCameras, scale: Scale) -> Option<AnchorReport> {
        if known.is_empty() {
            return None;
        }
        let pairs: Vec<AnchorPair> = self
            .anchors(known)
            .into_iter()
            .map(|(_, pair)| pair)
            .collect();
        Some(match self.known_world(self.drawn_piece()) {
            Some(world) => AnchorReport::of(&pairs, &world, scale),
            None => {
                let misfit = self.fit(known).err();
                AnchorReport::of_misfit(pairs.len(), misfit.unwrap_or(Misfit::TooFew))
            }
        })
    }
}
