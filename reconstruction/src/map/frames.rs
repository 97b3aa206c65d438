//! The map: its frames and chunks.

use std::collections::BTreeMap;

use nalgebra::Similarity3;
use serde::{Deserialize, Serialize};

use super::chunk::{Chunk, FirstChunk, NextChunk};
use crate::cloud::{Alignment, SceneCamera};
use crate::geometry::FrameSize;
use crate::prediction::Camera;
use crate::quality::Assessment;

/// Fewer placed frames do not hold the coordinates of a map.
const LEAST_PLACED: usize = 2;

/// The frames of a stream in one world, with the chunks that placed them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The size that all frames are cropped to.
    size: FrameSize,
    /// From the world of the cameras to GLB coordinates.
    world_to_glb: Similarity3<f64>,
    /// How the first chunk was aligned with earlier results.
    alignment: Alignment,
    /// By their numbers.
    frames: BTreeMap<u64, MapFrame>,
    chunks: Vec<Chunk>,
}

/// A frame of the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapFrame {
    /// In the map's world; without a pose if the frame could not be placed.
    pub camera: SceneCamera,
    /// `None` for a frame that could not be placed before this map began.
    pub place: Option<FramePlace>,
}

/// Where the maps of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramePlace {
    /// Index of its chunk.
    pub chunk: usize,
    /// Index of the frame in the chunk.
    pub row: usize,
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
            (
                camera.id,
                MapFrame {
                    camera,
                    place: None,
                },
            )
        });
        let mut map = Self {
            size: first.size,
            world_to_glb: first.world_to_glb,
            alignment: first.alignment,
            frames: missed.collect(),
            chunks: Vec::new(),
        };
        map.add(first.chunk);
        map
    }

    /// Adds a chunk. A frame that an earlier chunk could not place belongs to this one.
    pub fn add(&mut self, chunk: NextChunk) {
        let index = self.chunks.len();
        for (row, camera) in chunk.cameras.into_iter().enumerate() {
            let frame = MapFrame {
                camera,
                place: Some(FramePlace { chunk: index, row }),
            };
            self.frames.insert(frame.camera.id, frame);
        }
        self.chunks.push(chunk.chunk);
    }

    /// The size that all frames are cropped to.
    pub fn size(&self) -> FrameSize {
        self.size
    }

    /// From the world of the cameras to GLB coordinates.
    pub fn world_to_glb(&self) -> &Similarity3<f64> {
        &self.world_to_glb
    }

    /// How the first chunk was aligned with earlier results of the session.
    pub fn alignment(&self) -> &Alignment {
        &self.alignment
    }

    /// The chunks in the order in which they were added.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Whether a run of the model has had the frame.
    pub fn contains(&self, number: u64) -> bool {
        self.frames.contains_key(&number)
    }

    /// A frame by its number.
    pub fn frame(&self, number: u64) -> Option<&MapFrame> {
        self.frames.get(&number)
    }

    /// The frames with a pose, by their ascending numbers.
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
        let missed = frames.filter(|(_, frame)| frame.camera.pose.is_none());
        missed.map(|(number, _)| *number)
    }

    /// The camera of a placed frame as a model gives it.
    pub fn camera(&self, number: u64) -> Option<Camera> {
        let camera = &self.frames.get(&number)?.camera;
        camera.pose?;
        Some(Camera {
            extrinsics: camera.extrinsics,
            intrinsics: camera.intrinsics,
            distortion: camera.distortion,
            registered: true,
        })
    }

    /// What the runs of the model show about these frames, in their order. Frames that the map does
    /// not have are left out.
    pub fn assessment(&self, numbers: &[u64]) -> Assessment {
        let known = numbers.iter().filter_map(|number| self.frames.get(number));
        let frames = known.map(|frame| {
            let place = frame.place?;
            Some((&self.chunks.get(place.chunk)?.assessment, place.row))
        });
        Assessment::of_parts(frames, self.size.columns() * self.size.rows())
    }
}
