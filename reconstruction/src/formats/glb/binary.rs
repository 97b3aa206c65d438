//! The binary chunk: its layout and its bytes.

use std::ops::Range;

use super::compression::GlbCompression;
use super::error::GlbError;
use super::frustum;
use super::points::Points;
use super::vertices::{COLOR_BYTES, POSITION_BYTES, Vertices, opaque, write_words};
use crate::cloud::Scene;

const INDEX_BYTES: usize = 4;
const ALIGNMENT: usize = 4;

/// Largest number of bytes of a point.
pub const POINT_BYTES: usize = POSITION_BYTES + COLOR_BYTES;

/// Bytes of a drawn camera.
pub const FRUSTUM_BYTES: usize =
    frustum::VERTICES * (POSITION_BYTES + COLOR_BYTES) + frustum::INDICES * INDEX_BYTES;

/// The content of the binary chunk. All parts begin at multiples of 4 bytes.
pub struct Binary<'a> {
    pub points: Points<'a>,
    pub frustums: Vertices<Vec<[f32; 3]>, Vec<[u8; 3]>>,
    /// Pairs of frustum vertices.
    pub lines: Vec<u32>,
}

/// Byte ranges of the parts in the chunk.
pub struct Layout {
    pub point_positions: Range<usize>,
    pub point_colors: Range<usize>,
    pub frustum_positions: Range<usize>,
    pub frustum_colors: Range<usize>,
    pub lines: Range<usize>,
}

impl<'a> Binary<'a> {
    pub fn new(scene: &'a Scene, compression: GlbCompression) -> Result<Self, GlbError> {
        let mut positions = Vec::new();
        let mut colors = Vec::new();
        let mut lines = Vec::new();
        let count = scene.cameras.len();
        if scene.show_cameras {
            for (index, camera) in scene.cameras.iter().enumerate() {
                let Some(vertices) = frustum::vertices(camera, scene.image_size, scene.camera_size)
                else {
                    continue;
                };
                let first = positions.len() as u32;
                lines.extend(frustum::LINES.map(|vertex| first + vertex));
                positions.extend(vertices);
                colors.extend([frustum::color(index, count); frustum::VERTICES]);
            }
        }
        let points = Vertices::new(&scene.points[..], &scene.colors[..])?;
        Ok(Binary {
            points: Points::new(points, compression)?,
            frustums: Vertices::new(positions, colors)?,
            lines,
        })
    }

    pub fn layout(&self) -> Layout {
        let mut end = 0;
        let mut next = |bytes: usize| {
            let start = end;
            end = (start + bytes).next_multiple_of(ALIGNMENT);
            start..start + bytes
        };
        Layout {
            point_positions: next(self.points.position_bytes()),
            point_colors: next(self.points.color_bytes()),
            frustum_positions: next(self.frustums.positions.len() * POSITION_BYTES),
            frustum_colors: next(self.frustums.positions.len() * COLOR_BYTES),
            lines: next(self.lines.len() * INDEX_BYTES),
        }
    }

    /// Length in bytes, a multiple of 4.
    pub fn len(&self) -> usize {
        self.layout().lines.end
    }

    /// Appends the bytes of the chunk, in the order of the [`Layout`], to a file whose length is a
    /// multiple of 4.
    pub fn write(&self, file: &mut Vec<u8>) {
        self.points.write_positions(file);
        pad(file);
        self.points.write_colors(file);
        pad(file);
        write_words(file, self.frustums.positions.as_flattened(), |x| {
            x.to_le_bytes()
        });
        write_words(file, &self.frustums.colors, opaque);
        write_words(file, &self.lines, |x| x.to_le_bytes());
    }
}

fn pad(file: &mut Vec<u8>) {
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
}
