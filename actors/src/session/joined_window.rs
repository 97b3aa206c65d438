//! Where the window of a model that cannot extend belongs, and whether pieces of the map are one.

use pointstream_reconstruction::cloud::{CloudOptions, SceneFrame};
use pointstream_reconstruction::map::{
    ChunkPoints, FramePlace, JoinedWindow, KnownCameras, KnownDepth, Map, NextChunk, PieceJoin,
    Placement, SourceOfDepth,
};
use pointstream_reconstruction::model::KnownCamera;
use pointstream_reconstruction::prediction::{Prediction, PredictionMaps};

use super::context::Context;
use super::generation_error::GenerationError;
use super::ledger::{ChunkContent, StoredMap};
use crate::blobs::BlobName;

/// The stored depth of the map's frames.
pub(super) struct StoredDepth<'a> {
    pub context: &'a Context,
    pub map: &'a StoredMap,
}

impl SourceOfDepth for StoredDepth<'_> {
    type Error = GenerationError;

    fn depth(&self, place: FramePlace) -> Result<KnownDepth, GenerationError> {
        let missing = || GenerationError::Internal(format!("the map has no chunk {}", place.chunk));
        let file = *self.map.files.get(place.chunk).ok_or_else(missing)?;
        let key = self.context.key(BlobName::Prediction(file));
        let view = self.context.blobs.view(&key);
        let view = view.map_err(GenerationError::ReadPrediction)?;
        let maps = PredictionMaps::new(view, self.map.map.size());
        let maps = maps.map_err(GenerationError::ReadPrediction)?;
        let read = |map: std::io::Result<Vec<f32>>| map.map_err(GenerationError::ReadPrediction);
        Ok(KnownDepth {
            depth: read(maps.depth(place.row))?,
            confidence: read(maps.confidence(place.row))?,
        })
    }
}

/// Brings the prediction of a window into the coordinates of the piece of the map that it belongs to.
/// Frames that belong to none become unregistered. Returns where it belongs, if it does.
pub(super) fn place_window(
    context: &Context,
    map: &StoredMap,
    numbers: &[u64],
    known: Option<&[KnownCamera]>,
    prediction: &mut Prediction,
) -> Result<Option<Placement>, GenerationError> {
    let source = StoredDepth { context, map };
    let window = JoinedWindow {
        map: &map.map,
        numbers,
        known,
    };
    let Some(placement) = window.place(prediction, &source)? else {
        tracing::info!("a window has nothing certain in common with the map");
        prediction.unregister_all();
        return Ok(None);
    };
    let spread = &placement.spread;
    tracing::debug!(
        piece = placement.piece,
        scale = placement.similarity.scaling(),
        rotation_spread = spread.rotation,
        scale_spread = spread.scale,
        centre_spread = spread.centre,
        closes_loop = placement.closes_loop,
        "a window is joined"
    );
    placement.apply(prediction);
    Ok(Some(placement))
}

/// Whether the pieces that a window has frames of are one. The window has a world of its own.
pub(super) fn join_of_window(
    context: &Context,
    map: &StoredMap,
    numbers: &[u64],
    prediction: &Prediction,
) -> Result<Option<PieceJoin>, GenerationError> {
    let source = StoredDepth { context, map };
    let window = JoinedWindow {
        map: &map.map,
        numbers,
        known: None,
    };
    let placement = window.place(prediction, &source)?;
    Ok(placement.and_then(|placement| placement.joins.into_iter().next()))
}

/// Whether the piece of these frames belongs to the piece `to`, in whose coordinates the model has
/// placed them.
pub(super) fn join_extended(
    context: &Context,
    map: &StoredMap,
    numbers: &[u64],
    to: Option<usize>,
    prediction: &Prediction,
) -> Result<Option<PieceJoin>, GenerationError> {
    let source = StoredDepth { context, map };
    let window = JoinedWindow {
        map: &map.map,
        numbers,
        known: None,
    };
    let placement = window.place(prediction, &source)?;
    Ok(placement.zip(to).map(|(placement, to)| PieceJoin {
        from: placement.piece,
        to,
        similarity: placement.similarity.inverse(),
        link: None,
    }))
}

/// The chunk of a joined window, whose prediction is in the coordinates of its piece. If it closes a
/// loop, or if a chunk is off from the cameras that the client knows, the chunks move.
pub(super) fn joined_chunk(
    map: &Map,
    prediction: &mut Prediction,
    frames: &[SceneFrame],
    placement: Option<Placement>,
    known: &KnownCameras,
    options: &CloudOptions,
) -> Result<(ChunkContent, ChunkPoints), GenerationError> {
    let number = map.chunks().len();
    let piece = placement
        .as_ref()
        .map_or_else(|| map.drawn_piece(), |placement| placement.piece);
    let made = NextChunk::make(prediction, frames, map.piece_to_glb(piece), number, options)?;
    let (mut chunk, points) = made;
    chunk.piece = piece;
    if let Some(placement) = placement {
        chunk.joins = placement.joins;
        for join in &mut chunk.joins {
            // The chunk itself links them.
            join.link = None;
        }
        chunk.node = Some(placement.node);
        if placement.closes_loop || !known.is_empty() {
            let mut after = map.clone();
            after.add(chunk.clone());
            let anchors = after.chunk_anchors(known);
            if placement.closes_loop || Map::is_off(&anchors) {
                chunk.moves = after.relaxed(&anchors);
            }
        }
    }
    Ok((ChunkContent::Next(chunk), points))
}
