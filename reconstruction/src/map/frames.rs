//! The map: its frames and chunks.

use std::collections::BTreeMap;

use nalgebra::{Affine3, Isometry3, Matrix3, Matrix4, Similarity3, Vector3};
use serde::{Deserialize, Serialize};

use super::chunk::{Chunk, FirstChunk, NextChunk};
use super::correction::Corrections;
use super::graph::{ChunkGraph, ChunkNode};
use super::pieces::Pieces;
use crate::cloud::{Alignment, SceneCamera, View};
use crate::geometry::{Distortion, FrameSize};
use crate::prediction::Camera;
use crate::quality::{AssessedFrame, Assessment};

/// Fewer placed frames do not hold the coordinates of a map.
const LEAST_PLACED: usize = 2;

/// The frames of a stream in one world, with the chunks that placed them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The size that all frames are cropped to.
    size: FrameSize,
    /// By their numbers.
    pub(super) frames: BTreeMap<u64, MapFrame>,
    chunks: Vec<Chunk>,
    pub(super) pieces: Pieces,
    /// Where the chunks of joined windows lie to each other.
    pub(super) graph: ChunkGraph,
    /// How often frames of the map have moved.
    pub(super) revision: u64,
    /// How often other chunks came to be drawn than before, beside new ones.
    pub(super) drawing: u64,
}

/// A frame of the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapFrame {
    /// In the world of its piece; without a pose if the frame could not be placed, or if its piece is
    /// not the one that is drawn.
    pub camera: SceneCamera,
    /// `None` for a frame that could not be placed before this map began.
    pub place: Option<FramePlace>,
    /// The frame's depths now, as multiples of those that its chunk has.
    pub depth_factor: f64,
    /// Whether the frame is placed in a piece that is not drawn.
    is_apart: bool,
    /// Whether a run that was to begin a piece with frames like this one has placed none of them.
    pub(super) was_tried_alone: bool,
    /// The lens that the points of its chunk were computed with.
    lens: Lens,
    /// The map's revision when the frame moved last; 0 if it has not moved.
    pub(super) revision: u64,
}

/// Intrinsics and distortion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Lens {
    pub intrinsics: Matrix3<f64>,
    pub distortion: Distortion,
}

impl MapFrame {
    fn new(camera: SceneCamera, place: Option<FramePlace>) -> Self {
        Self {
            lens: Lens {
                intrinsics: camera.intrinsics,
                distortion: camera.distortion,
            },
            camera,
            place,
            depth_factor: 1.0,
            is_apart: false,
            was_tried_alone: place.is_none(),
            revision: 0,
        }
    }

    /// Whether the frame is placed, but in a piece that is not drawn.
    pub fn is_apart(&self) -> bool {
        self.is_apart
    }

    /// The frame's piece is drawn, with this pose in GLB coordinates, or not.
    pub(super) fn draw(&mut self, pose: Option<Isometry3<f64>>) {
        self.is_apart = pose.is_none();
        self.camera.pose = pose;
    }

    /// Whether the frame is placed, in whatever piece.
    pub(super) fn is_located(&self) -> bool {
        self.camera.pose.is_some() || self.is_apart
    }

    /// The camera now, if the frame is placed in the piece that is drawn.
    pub(super) fn view(&self) -> Option<View> {
        let view = || View::from_camera(&self.camera(true));
        self.camera.pose.and_then(|_| view())
    }

    /// The world of its piece is another one; its pose in results stays.
    pub(super) fn change_world(&mut self, by: &Similarity3<f64>) {
        if let Some(view) = View::from_camera(&self.camera(true)) {
            let moved = by * view.camera_to_world;
            self.camera.extrinsics = moved.isometry.inverse().to_homogeneous();
            self.depth_factor *= moved.scaling();
        }
    }

    /// Moves the frame with its piece. `to_glb` is for a frame that is drawn.
    pub(super) fn shift(&mut self, by: &Similarity3<f64>, to_glb: &Similarity3<f64>) {
        let Some(view) = View::from_camera(&self.camera(true)) else {
            return;
        };
        let moved = by * view.camera_to_world;
        let camera_to_world = moved.isometry;
        self.camera.extrinsics = camera_to_world.inverse().to_homogeneous();
        self.depth_factor *= moved.scaling();
        if self.camera.pose.is_some() {
            self.camera.pose = Some((to_glb * camera_to_world).isometry);
        }
    }

    pub(super) fn camera(&self, registered: bool) -> Camera {
        Camera {
            extrinsics: self.camera.extrinsics,
            intrinsics: self.camera.intrinsics,
            distortion: self.camera.distortion,
            registered,
        }
    }

    /// The lens that the points of its chunk were computed with.
    pub(super) fn lens(&self) -> &Lens {
        &self.lens
    }

    /// From the coordinates of the frame's points to the map's world. Those are the camera's
    /// coordinates (x right, y down, z forward) as they were when its chunk was made, so they never
    /// change; this transform does when the map is corrected. `None` if the frame is not placed.
    pub fn points_to_world(&self) -> Option<Affine3<f64>> {
        let view = self.view()?;
        // A changed focal length moves what is seen at a pixel aside.
        let focal = |axis| self.lens.intrinsics[(axis, axis)] / view.intrinsics[(axis, axis)];
        let stretch = Vector3::new(focal(0), focal(1), 1.0) * self.depth_factor;
        let stretch = Matrix4::new_nonuniform_scaling(&stretch);
        let matrix = view.camera_to_world.to_homogeneous() * stretch;
        Some(Affine3::from_matrix_unchecked(matrix))
    }
}

/// Where the maps of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramePlace {
    /// Index of its chunk.
    pub chunk: usize,
    /// Index of the frame in the chunk.
    pub row: usize,
    /// Whether the frame shows nothing new: the chunk has its camera, but not its maps.
    pub still: bool,
}

impl Map {
    /// A map of one chunk. The frames of an earlier map, in which hardly any could be placed, count
    /// as missed.
    pub fn begin(first: FirstChunk, earlier: Option<&Self>) -> Self {
        let missed = earlier.into_iter().flat_map(|map| map.frames.values());
        let missed = missed.map(|frame| {
            let camera = SceneCamera {
                pose: None,
                ..frame.camera.clone()
            };
            (camera.id, MapFrame::new(camera, None))
        });
        let mut map = Self {
            size: first.size,
            frames: missed.collect(),
            chunks: Vec::new(),
            pieces: Pieces::begin(&first),
            graph: ChunkGraph::default(),
            revision: 0,
            drawing: 0,
        };
        map.add(NextChunk {
            node: Some(ChunkNode::alone()),
            ..first.chunk
        });
        map
    }

    /// Adds a chunk. A frame that an earlier chunk could not place belongs to this one. The pieces that
    /// the chunk's window has joined become one before.
    pub fn add(&mut self, chunk: NextChunk) {
        for join in &chunk.joins {
            self.join(join);
        }
        let index = self.chunks.len();
        let begins = self.pieces.note_chunk(chunk.piece);
        let places_none = chunk.cameras.iter().all(|camera| camera.pose.is_none());
        let keyframes = chunk.cameras.len().saturating_sub(chunk.still);
        for (row, camera) in chunk.cameras.into_iter().enumerate() {
            let place = FramePlace {
                chunk: index,
                row,
                still: row >= keyframes,
            };
            let before = self.frames.get(&camera.id);
            let was_tried = before.is_some_and(|frame| frame.was_tried_alone);
            let mut frame = MapFrame::new(camera, Some(place));
            frame.was_tried_alone = was_tried || (begins && places_none);
            self.frames.insert(frame.camera.id, frame);
        }
        self.chunks.push(chunk.chunk);
        if let Some(node) = chunk.node {
            self.graph.add(index, node);
        }
        self.revision += u64::from(!chunk.moves.is_empty());
        for (chunk, by) in &chunk.moves {
            self.shift_chunk(*chunk, by);
        }
        self.draw_largest_piece();
    }

    /// Moves frames to where an adjustment has found that they belong. Placed frames without a
    /// correction move with those before and after them, by their numbers.
    pub fn correct(&mut self, corrections: &Corrections) {
        self.revision += 1;
        for (number, correction) in corrections.for_all(&self.frames).into_iter() {
            let Some(frame) = self.frames.get_mut(&number) else {
                continue;
            };
            let camera_to_world = correction.camera_to_world;
            frame.camera.extrinsics = camera_to_world.inverse().to_homogeneous();
            frame.camera.intrinsics = correction.intrinsics;
            frame.camera.distortion = correction.distortion;
            let world_to_glb = self.pieces.world_to_glb();
            frame.camera.pose = Some((world_to_glb * camera_to_world).isometry);
            frame.depth_factor *= correction.depth_factor;
            frame.revision = self.revision;
        }
    }

    /// The size that all frames are cropped to.
    pub fn size(&self) -> FrameSize {
        self.size
    }

    /// From the world of the cameras to GLB coordinates.
    pub fn world_to_glb(&self) -> &Similarity3<f64> {
        self.pieces.world_to_glb()
    }

    /// How the piece that is drawn was aligned with earlier results of the session.
    pub fn alignment(&self) -> &Alignment {
        self.pieces.alignment()
    }

    /// The chunks in the order in which they were added.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// How often frames of the map have moved.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How often other chunks came to be drawn than before, beside new ones: pieces were joined, or
    /// another one is the largest.
    pub fn drawing(&self) -> u64 {
        self.drawing
    }

    /// All frames, by their ascending numbers.
    pub fn frames(&self) -> impl Iterator<Item = (u64, &MapFrame)> {
        self.frames.iter().map(|(number, frame)| (*number, frame))
    }

    /// From the coordinates of a frame's points, which never change, to GLB coordinates; `None` if the
    /// frame is not placed. See [`MapFrame::points_to_world`].
    pub fn points_to_glb(&self, frame: &MapFrame) -> Option<Affine3<f64>> {
        Some(self.world_to_glb() * frame.points_to_world()?)
    }

    /// Whether a run of the model has had the frame.
    pub fn contains(&self, number: u64) -> bool {
        self.frames.contains_key(&number)
    }

    /// A frame by its number.
    pub fn frame(&self, number: u64) -> Option<&MapFrame> {
        self.frames.get(&number)
    }

    /// Where the maps of a frame are; `None` if the map has none of it.
    pub fn place_with_maps(&self, number: u64) -> Option<FramePlace> {
        self.frame(number)?.place.filter(|place| !place.still)
    }

    /// The frames that are placed in the piece that is drawn, by their ascending numbers.
    pub fn placed(&self) -> impl DoubleEndedIterator<Item = (u64, &MapFrame)> {
        let frames = self.frames.iter().map(|(number, frame)| (*number, frame));
        frames.filter(|(_, frame)| frame.camera.pose.is_some())
    }

    /// Whether there are enough placed frames to place others. Otherwise the map begins again.
    pub fn can_be_extended(&self) -> bool {
        self.placed().nth(LEAST_PLACED - 1).is_some()
    }

    /// Numbers of the frames that could not be placed, ascending.
    pub fn missed(&self) -> impl Iterator<Item = u64> {
        let frames = self.frames.iter();
        let missed = frames.filter(|(_, frame)| !frame.is_located());
        missed.map(|(number, _)| *number)
    }

    /// The camera of a placed frame as a model gives it, in the world of its piece.
    pub fn camera(&self, number: u64) -> Option<Camera> {
        let frame = self.frames.get(&number).filter(|frame| frame.is_located());
        Some(frame?.camera(true))
    }

    /// What the runs of the model show about these frames, in their order. Frames that the map does
    /// not have are left out.
    pub fn assessment(&self, numbers: &[u64]) -> Assessment {
        let known = numbers.iter().filter_map(|number| self.frames.get(number));
        let ranks = self.piece_ranks();
        let frames = known.map(|frame| {
            let place = frame.place?;
            Some(AssessedFrame {
                part: &self.chunks.get(place.chunk)?.assessment,
                row: place.row,
                piece: match frame.is_located() {
                    true => ranks.get(&self.pieces.of_chunk(place.chunk)).copied(),
                    false => None,
                },
            })
        });
        Assessment::of_parts(frames, self.size.columns() * self.size.rows())
    }
}
