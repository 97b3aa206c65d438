//! The depth and the points of a result that was made of the map.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use pointstream_reconstruction::cloud::Pixel;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::prediction::PredictionMaps;
use uuid::Uuid;

/// Bytes of a pixel: frame and index, 32-bit little-endian.
const PIXEL: usize = 8;

/// The bytes of a result's pixels.
pub(super) fn pixel_bytes(pixels: &[Pixel]) -> Vec<u8> {
    let words = pixels.iter().flat_map(|pixel| [pixel.frame, pixel.index]);
    words.flat_map(u32::to_le_bytes).collect()
}

/// The maps of a frame's chunk, and the index of the frame there.
type FrameMaps = (Arc<PredictionMaps<Bytes>>, usize);

/// The open files of a result of the map.
pub(super) struct ResultChunks {
    /// Frame and index of each point, in ascending order.
    pixels: Bytes,
    /// Index of the first point of each frame; the last entry is the number of points.
    first_points: Vec<usize>,
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
        pixels: Bytes,
        frames: &[Option<(Uuid, usize)>],
        size: FrameSize,
        chunk: impl Fn(Uuid) -> io::Result<Bytes>,
    ) -> io::Result<Self> {
        let mut chunks = HashMap::new();
        let frames = frames
            .iter()
            .map(|frame| {
                let Some((file, row)) = *frame else {
                    return Ok(None);
                };
                let maps: &Arc<PredictionMaps<Bytes>> = match chunks.entry(file) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        new.insert(Arc::new(PredictionMaps::new(chunk(file)?, size)?))
                    }
                };
                Ok(Some((maps.clone(), row)))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let (pairs, _) = pixels.as_chunks::<PIXEL>();
        let first_points = (0..=frames.len())
            .map(|frame| pairs.partition_point(|pair| (words(pair)[0] as usize) < frame))
            .collect();
        Ok(Self {
            first_points,
            frames,
            pixels,
            pixels_per_frame: size.columns() * size.rows(),
        })
    }

    /// Number of points of a frame, 0 if there is no such frame.
    pub fn point_count(&self, frame: usize) -> usize {
        self.points_of(frame).map_or(0, |points| points.len())
    }

    /// Row-major indices of the pixels that are points.
    pub fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        let points = self.points_of(frame).ok_or(io::ErrorKind::NotFound)?;
        let (pairs, _) = self.pixels.as_chunks::<PIXEL>();
        let pairs = pairs.get(points).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(pairs.iter().map(|pair| words(pair)[1]).collect())
    }

    /// The depth of a frame; of one without depth, 1 everywhere.
    pub fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        match self.frame(frame)? {
            Some((maps, row)) => maps.depth(*row),
            None => Ok(vec![1.0; self.pixels_per_frame]),
        }
    }

    /// The confidence of a frame; of one without depth, 1 everywhere, which means unknown.
    pub fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        match self.frame(frame)? {
            Some((maps, row)) => maps.confidence(*row),
            None => Ok(vec![1.0; self.pixels_per_frame]),
        }
    }

    fn frame(&self, frame: usize) -> io::Result<Option<&FrameMaps>> {
        let frame = self.frames.get(frame).ok_or(io::ErrorKind::NotFound)?;
        Ok(frame.as_ref())
    }

    fn points_of(&self, frame: usize) -> Option<Range<usize>> {
        match self.first_points.get(frame..frame + 2)? {
            &[first, end] => Some(first..end),
            _ => None,
        }
    }
}

fn words(pair: &[u8; PIXEL]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = *pair;
    [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes)
}
