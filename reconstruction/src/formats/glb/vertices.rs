//! Vertices of a mesh and their bytes.

use super::error::GlbError;

/// Bytes of a position in single precision.
pub const POSITION_BYTES: usize = 12;

/// Bytes of a colour with its alpha channel.
pub const COLOR_BYTES: usize = 4;

/// Positions and colours of a mesh, which may be empty.
pub struct Vertices<P, C> {
    pub positions: P,
    pub colors: C,
    /// Smallest and largest position along each axis.
    pub bounds: [[f32; 3]; 2],
}

impl<P: AsRef<[[f32; 3]]>, C: AsRef<[[u8; 3]]>> Vertices<P, C> {
    pub fn new(positions: P, colors: C) -> Result<Self, GlbError> {
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

/// Appends a word of `BYTES` bytes for each value. Resizing first and filling afterwards compiles
/// to wide copies.
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
    fn bounds_are_exact_and_refuse_non_finite_numbers() {
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
