//! The depth and the points of a result that was made of the map.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

use pointstream_reconstruction::cloud::Pixel;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::prediction::PredictionMaps;
use pointstream_reconstruction::stored::{StoredMarks, StoredPixels};
use uuid::Uuid;

use super::ledger::ChunkFrame;
use crate::blobs::BlobView;

/// The bytes of a result's pixels: frame and index, 32-bit little-endian.
pub(super) fn pixel_bytes(pixels: &[Pixel]) -> Vec<u8> {
    let words = pixels.iter().flat_map(|pixel| [pixel.frame, pixel.index]);
    words.flat_map(u32::to_le_bytes).collect()
}

/// A frame in the maps of its chunk.
struct FrameMaps {
    chunk: Arc<PredictionMaps<BlobView>>,
    row: usize,
    depth_factor: f32,
}

/// The files with the pixels of a result.
pub(super) struct PixelFiles {
    /// Those that are points.
    pub points: BlobView,
    /// Those that other frames contradict, if there are any.
    pub contradicted: Option<BlobView>,
}

/// The open files of a result of the map.
pub(super) struct ResultChunks {
    /// Frame and index of each point, in ascending order.
    file: BlobView,
    points: StoredPixels,
    /// Pixels that other frames contradict: nothing is known of them.
    contradicted: Option<StoredMarks<BlobView>>,
    /// For each frame, the maps of its chunk and its index there; `None` for a frame without depth.
    frames: Vec<Option<FrameMaps>>,
    pixels_per_frame: usize,
}

impl ResultChunks {
    /// Opens the chunk of each frame; `chunk` gives a view of a chunk's prediction.
    ///
    /// # Errors
    /// If a file is missing or has another format.
    pub fn open(
        files: PixelFiles,
        frames: &[Option<ChunkFrame>],
        size: FrameSize,
        chunk: impl Fn(Uuid) -> io::Result<BlobView>,
    ) -> io::Result<Self> {
        let mut chunks = HashMap::new();
        let frames = frames
            .iter()
            .map(|frame| {
                let Some(frame) = frame else {
                    return Ok(None);
                };
                let maps: &Arc<PredictionMaps<BlobView>> = match chunks.entry(frame.file) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        new.insert(Arc::new(PredictionMaps::new(chunk(frame.file)?, size)?))
                    }
                };
                Ok(Some(FrameMaps {
                    chunk: maps.clone(),
                    row: frame.row,
                    depth_factor: frame.depth_factor as f32,
                }))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let pixels_per_frame = size.columns() * size.rows();
        let contradicted = files.contradicted;
        let contradicted = contradicted.map(|file| StoredMarks::new(file, pixels_per_frame));
        let pixels = files.points;
        Ok(Self {
            points: StoredPixels::find(&pixels, 0, pixels.len(), frames.len())?,
            file: pixels,
            contradicted,
            frames,
            pixels_per_frame,
        })
    }

    /// Number of points of a frame, 0 if there is no such frame.
    pub fn point_count(&self, frame: usize) -> usize {
        self.points.count(frame)
    }

    /// Row-major indices of the pixels that are points.
    pub fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        self.points.of_frame(&self.file, frame)
    }

    /// The depth of a frame; of one without depth, 1 everywhere.
    pub fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        match self.frame(frame)? {
            Some(maps) => {
                let mut depth = maps.chunk.depth(maps.row)?;
                for value in &mut depth {
                    *value *= maps.depth_factor;
                }
                Ok(depth)
            }
            None => Ok(vec![1.0; self.pixels_per_frame]),
        }
    }

    /// The confidence of a frame; of one without depth, and of pixels that other frames contradict, 1,
    /// which means unknown.
    pub fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        let Some(maps) = self.frame(frame)? else {
            return Ok(vec![1.0; self.pixels_per_frame]);
        };
        let mut confidence = maps.chunk.confidence(maps.row)?;
        if let Some(contradicted) = &self.contradicted {
            for pixel in contradicted.of_frame(frame)? {
                if let Some(value) = confidence.get_mut(pixel) {
                    *value = 1.0;
                }
            }
        }
        Ok(confidence)
    }

    fn frame(&self, frame: usize) -> io::Result<Option<&FrameMaps>> {
        let frame = self.frames.get(frame).ok_or(io::ErrorKind::NotFound)?;
        Ok(frame.as_ref())
    }
}
