//! Chunks: what one run of the model adds to a map.

use ::image::RgbImage;
use nalgebra::Similarity3;
use serde::{Deserialize, Serialize};

use super::graph::ChunkNode;
use super::pieces::PieceJoin;
use super::points::ChunkPoints;
use crate::anchors::KnownWorld;
use crate::cloud::{
    Alignment, CloudError, CloudOptions, ConfidentPixels, SceneCamera, SceneFrame, World,
    check_frames, place_in_world, scene_cameras,
};
use crate::geometry::FrameSize;
use crate::prediction::Prediction;
use crate::quality::Assessment;

/// What one run of the model has added to a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// Number of its points before their number was limited: its weight in a limited cloud.
    pub points: usize,
    /// Every point has at least this confidence.
    pub confidence_threshold: f32,
    /// What the run shows about its frames.
    pub(super) assessment: Assessment,
}

/// A chunk before it is part of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NextChunk {
    pub chunk: Chunk,
    /// The cameras of its frames, in the world of its piece.
    pub cameras: Vec<SceneCamera>,
    /// The piece of the map that it belongs to.
    pub piece: usize,
    /// Pieces that its window has joined.
    pub joins: Vec<PieceJoin>,
    /// Where it lies to other chunks, if its window had a world of its own.
    pub node: Option<ChunkNode>,
    /// How chunks move, it among them, if it has closed a loop: indices, and movements in the world of
    /// their piece.
    pub moves: Vec<(usize, Similarity3<f64>)>,
    /// So many of its last frames show nothing new and add no points.
    pub still: usize,
}

/// The chunk that begins a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstChunk {
    pub chunk: NextChunk,
    pub size: FrameSize,
    /// From the world of the cameras to GLB coordinates.
    pub world_to_glb: Similarity3<f64>,
    /// How the chunk was aligned with earlier results.
    pub alignment: Alignment,
    /// If its world is that of the clients' known cameras.
    #[serde(default)]
    pub known: Option<KnownWorld>,
}

impl FirstChunk {
    /// Whether it begins a map or a piece: it names no others.
    pub fn begins(&self) -> bool {
        self.chunk.piece == 0 && self.chunk.joins.is_empty() && self.chunk.moves.is_empty()
    }

    /// The beginning of a map, its points, and the session's world with it. `world` is that of
    /// earlier results. The prediction loses frames whose geometry is impossible.
    ///
    /// # Errors
    /// [`CloudError`] if prediction and frames do not match.
    pub fn make(
        prediction: &mut Prediction,
        frames: &[SceneFrame],
        world: Option<&World>,
        options: &CloudOptions,
    ) -> Result<(Self, ChunkPoints, World), CloudError> {
        check_frames(prediction, frames)?;
        let assessment = Assessment::begin(prediction);
        let pixels = ConfidentPixels::new(prediction, options.conf_thresh_percentile);
        let (world_to_glb, alignment, world) = place_in_world(world, &pixels, frames);
        let (chunk, points) = make(&pixels, frames, assessment, &world_to_glb, options, 0);
        let first = Self {
            chunk,
            size: prediction.size,
            world_to_glb,
            alignment,
            known: None,
        };
        Ok((first, points, world))
    }
}

impl NextChunk {
    /// A chunk of the first piece whose cameras are in the map's world already, and its points.
    /// `number` is its index among the chunks. The prediction loses frames whose geometry is impossible.
    ///
    /// # Errors
    /// [`CloudError`] if prediction and frames do not match.
    pub fn make(
        prediction: &mut Prediction,
        frames: &[SceneFrame],
        world_to_glb: &Similarity3<f64>,
        number: usize,
        options: &CloudOptions,
    ) -> Result<(Self, ChunkPoints), CloudError> {
        check_frames(prediction, frames)?;
        let assessment = Assessment::begin(prediction);
        let pixels = ConfidentPixels::new(prediction, options.conf_thresh_percentile);
        let seed = number as u64;
        Ok(make(
            &pixels,
            frames,
            assessment,
            world_to_glb,
            options,
            seed,
        ))
    }
}

fn make(
    pixels: &ConfidentPixels,
    frames: &[SceneFrame],
    assessment: Assessment,
    world_to_glb: &Similarity3<f64>,
    options: &CloudOptions,
    seed: u64,
) -> (NextChunk, ChunkPoints) {
    let images: Vec<&RgbImage> = frames.iter().map(|frame| frame.image).collect();
    let (points, passing) = ChunkPoints::choose(pixels, &images, options, world_to_glb, seed);
    let chunk = Chunk {
        points: passing,
        confidence_threshold: pixels.threshold(),
        assessment,
    };
    let cameras = scene_cameras(pixels, frames, world_to_glb);
    let next = NextChunk {
        chunk,
        cameras,
        piece: 0,
        joins: Vec::new(),
        node: None,
        moves: Vec::new(),
        still: 0,
    };
    (next, points)
}
