//! The points of a chunk.

use ::image::RgbImage;
use nalgebra::Similarity3;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use thiserror::Error;

use crate::cloud::{CloudOptions, ConfidentPixels, Pixel, passing_pixels};

/// Bytes of a point in a file: frame, index, depth, confidence, colour, and one of padding.
const RECORD: usize = 20;

/// A point of a chunk: a pixel with its depth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ChunkPoint {
    /// Index of the frame in the chunk, and of the pixel in the frame.
    pub pixel: Pixel,
    /// z in camera coordinates, in the map's unit of length.
    pub depth: f32,
    pub confidence: f32,
    /// sRGB.
    pub color: [u8; 3],
}

/// The points of a chunk in a random order, which never changes: the first `n` of them are a uniform
/// sample of `n` points, and part of each larger one.
///
/// A file has 20 bytes for each point, little-endian: frame in the chunk and row-major index of the
/// pixel (32-bit integers), depth and confidence (32-bit floats), red, green, blue and a zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChunkPoints {
    points: Vec<ChunkPoint>,
}

/// Why the bytes are not those of a file of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the file of a chunk's points has {found} bytes, but {expected} are expected at least")]
pub struct PointsFileError {
    pub found: usize,
    pub expected: usize,
}

impl ChunkPoints {
    /// The confident pixels that pass the filters, at most as many as the whole cloud may have, and
    /// the number of all that pass. `seed` tells the chunks of a map apart.
    pub(super) fn choose(
        pixels: &ConfidentPixels,
        images: &[&RgbImage],
        options: &CloudOptions,
        world_to_glb: &Similarity3<f64>,
        seed: u64,
    ) -> (Self, usize) {
        let mut chosen = passing_pixels(pixels, images, &options.filters, world_to_glb);
        let passing = chosen.len();
        shuffle(&mut chosen, options.num_max_points, seed);
        let prediction = pixels.prediction();
        let points = chosen.into_iter().map(|pixel| {
            let (frame, index) = (pixel.frame as usize, pixel.index as usize);
            let (colors, _) = images[frame].as_raw().as_chunks();
            ChunkPoint {
                pixel,
                depth: prediction.frame_depth(frame)[index],
                confidence: prediction.frame_confidence(frame)[index],
                color: colors[index],
            }
        });
        let points = Self {
            points: points.collect(),
        };
        (points, passing)
    }

    /// The points of some frames of the chunk, in the same order.
    pub(super) fn of_frames(self, frames: std::ops::RangeTo<usize>) -> Self {
        let mut points = self.points;
        points.retain(|point| frames.contains(&(point.pixel.frame as usize)));
        Self { points }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub(super) fn points(&self) -> &[ChunkPoint] {
        &self.points
    }

    /// The bytes of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.points.len() * RECORD);
        for point in &self.points {
            bytes.extend_from_slice(&point.pixel.frame.to_le_bytes());
            bytes.extend_from_slice(&point.pixel.index.to_le_bytes());
            bytes.extend_from_slice(&point.depth.to_le_bytes());
            bytes.extend_from_slice(&point.confidence.to_le_bytes());
            bytes.extend_from_slice(&point.color);
            bytes.push(0);
        }
        bytes
    }

    /// Bytes of the first `count` points of a file.
    pub fn file_bytes(count: usize) -> usize {
        count.saturating_mul(RECORD)
    }

    /// The first `count` points of a file.
    ///
    /// # Errors
    /// [`PointsFileError`] if the file has fewer.
    pub fn from_bytes(bytes: &[u8], count: usize) -> Result<Self, PointsFileError> {
        let expected = Self::file_bytes(count);
        let bytes = bytes.get(..expected).ok_or(PointsFileError {
            found: bytes.len(),
            expected,
        })?;
        let (records, _) = bytes.as_chunks::<RECORD>();
        let points = records.iter().map(|record| {
            let (words, _) = record.as_chunks::<4>();
            let [frame, index, depth, confidence, [red, green, blue, _]] = *words else {
                unreachable!("a record has five words")
            };
            ChunkPoint {
                pixel: Pixel {
                    frame: u32::from_le_bytes(frame),
                    index: u32::from_le_bytes(index),
                },
                depth: f32::from_le_bytes(depth),
                confidence: f32::from_le_bytes(confidence),
                color: [red, green, blue],
            }
        });
        Ok(Self {
            points: points.collect(),
        })
    }
}

/// Brings the pixels to a random order and keeps the first `limit` (Fisher and Yates; Durstenfeld,
/// "Algorithm 235: random permutation", CACM 1964).
fn shuffle(pixels: &mut Vec<Pixel>, limit: usize, seed: u64) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let count = pixels.len();
    for index in 0..limit.min(count) {
        let left = (count - index) as u64;
        // Uniform in 0..left: the high half of a 64 by 64 bit product.
        let draw = (u128::from(random.next_u64()) * u128::from(left)) >> 64;
        pixels.swap(index, index + draw as usize);
    }
    pixels.truncate(limit);
}
