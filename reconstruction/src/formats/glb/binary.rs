//! The binary chunk: what lies where, and the bytes themselves.

use std::ops::Range;

use super::frustum;
use super::points::{COLOR_BYTES, POSITION_BYTES, Points};
use super::{GlbCompression, GlbError};
use crate::cloud::Scene;

const INDEX_BYTES: usize = 4;
const ALIGNMENT: usize = 4;

/// Bytes of a point at most.
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

/// Positions and colours of a mesh. There may be none.
pub struct Vertices<P, C> {
    pub positions: P,
    pub colors: C,
    /// Smallest and largest position along each axis.
    pub bounds: [[f32; 3]; 2],
}

/// Where the parts lie in the chunk.
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

    /// Appends the chunk's bytes, in the order of the [`Layout`], to a file that has a multiple of
    /// 4 bytes.
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

impl<P: AsRef<[[f32; 3]]>, C: AsRef<[[u8; 3]]>> Vertices<P, C> {
    fn new(positions: P, colors: C) -> Result<Self, GlbError> {
        let (points, count) = (positions.as_ref(), colors.as_ref().len());
        if points.len() != count {
            return Err(GlbError::ColorCount {
                points: points.len(),
                colors: count,
            });
        }
        let bounds = bounds(points).ok_or(GlbError::NotFinite)?;
        Ok(Vertices {
            positions,
            colors,
            bounds,
        })
    }
}

fn pad(file: &mut Vec<u8>) {
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
}

/// Appends one word of some bytes for each value. Growing first and filling then compiles to wide
/// copies.
pub fn write_words<T: Copy, const BYTES: usize>(
    file: &mut Vec<u8>,
    values: &[T],
    word: impl Fn(T) -> [u8; BYTES],
) {
    let start = file.len();
    file.resize(start + values.len() * BYTES, 0);
    let (words, _) = file[start..].as_chunks_mut();
    for (target, &value) in words.iter_mut().zip(values) {
        *target = word(value);
    }
}

/// A colour with its alpha channel.
pub fn opaque([red, green, blue]: [u8; 3]) -> [u8; 4] {
    [red, green, blue, 255]
}

/// Smallest and largest value along each axis; `None` if a value is not finite.
fn bounds(points: &[[f32; 3]]) -> Option<[[f32; 3]; 2]> {
    let mut low = [f32::INFINITY; 3];
    let mut high = [f32::NEG_INFINITY; 3];
    let mut finite = true;
    for point in points {
        for axis in 0..3 {
            finite &= point[axis].is_finite();
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    finite.then_some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_exact_and_refuse_what_is_not_finite() {
        let points = [[0.1, -2.0, 3.0], [0.3, 5.5, -0.0], [-1e-30, 0.0, 1.0]];
        let expected = [[-1e-30, -2.0, -0.0], [0.3, 5.5, 3.0]];
        assert_eq!(bounds(&points), Some(expected));
        assert_eq!(bounds(&[[0.0, f32::NAN, 0.0]]), None);
        assert_eq!(bounds(&[[0.0, 0.0, f32::INFINITY]]), None);
    }

    #[test]
    fn words_are_appended() {
        let mut file = vec![9];
        write_words(&mut file, &[[1, 2, 3], [4, 5, 6]], opaque);
        write_words(&mut file, &[0x0102_0304_u32], |x| x.to_le_bytes());
        assert_eq!(file, [9, 1, 2, 3, 255, 4, 5, 6, 255, 4, 3, 2, 1]);
    }
}
