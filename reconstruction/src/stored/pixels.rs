//! The pixels that are points of a stored result.

use std::io;
use std::ops::Range;

use positioned_io::ReadAt;

use super::bytes;

/// Bytes of a pixel: frame and index, 32-bit little-endian.
const PIXEL: usize = 8;

/// Pixels in a part of a file, with their frames in ascending order.
#[derive(Debug)]
pub struct StoredPixels {
    /// Where the first pixel is.
    position: u64,
    /// Index of the first pixel of each frame; the last entry is the number of pixels.
    first: Vec<usize>,
}

impl StoredPixels {
    /// Finds the pixels of this many frames in `length` bytes of a file.
    ///
    /// # Errors
    /// If the file cannot be read, or the part has another length.
    pub fn find(
        file: &impl ReadAt,
        position: u64,
        length: usize,
        frames: usize,
    ) -> io::Result<Self> {
        if !length.is_multiple_of(PIXEL) {
            let message = format!("{length} bytes are not a whole number of pixels");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let count = length / PIXEL;
        let mut first = Vec::with_capacity(frames + 1);
        let mut known = 0;
        for frame in 0..=frames {
            // Binary search among those that are left.
            let (mut begin, mut end) = (known, count);
            while begin < end {
                let middle = begin + (end - begin) / 2;
                let [found, _] = read(file, position, middle..middle + 1)?[0];
                if (found as usize) < frame {
                    begin = middle + 1;
                } else {
                    end = middle;
                }
            }
            known = begin;
            first.push(begin);
        }
        Ok(Self { position, first })
    }

    /// Number of points of a frame, 0 if there is no such frame.
    pub fn count(&self, frame: usize) -> usize {
        self.range(frame).map_or(0, |range| range.len())
    }

    /// Row-major indices of the pixels of a frame.
    ///
    /// # Errors
    /// If there is no such frame, or the file has become shorter.
    pub fn of_frame(&self, file: &impl ReadAt, frame: usize) -> io::Result<Vec<u32>> {
        let range = self.range(frame).ok_or(io::ErrorKind::NotFound)?;
        let pixels = read(file, self.position, range)?;
        Ok(pixels.into_iter().map(|[_, index]| index).collect())
    }

    fn range(&self, frame: usize) -> Option<Range<usize>> {
        match self.first.get(frame..frame.checked_add(2)?)? {
            &[first, end] => Some(first..end),
            _ => None,
        }
    }
}

/// Frame and index of some pixels.
fn read(file: &impl ReadAt, position: u64, pixels: Range<usize>) -> io::Result<Vec<[u32; 2]>> {
    let begin = position + (pixels.start * PIXEL) as u64;
    let bytes = bytes(file, begin, pixels.len() * PIXEL)?;
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    Ok(pairs
        .iter()
        .map(|pair| pair.map(u32::from_le_bytes))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pixels: &[[u32; 2]]) -> Vec<u8> {
        // Something comes before.
        let words = pixels.iter().flatten().flat_map(|word| word.to_le_bytes());
        [7; 5].into_iter().chain(words).collect()
    }

    #[test]
    fn pixels_are_found_by_their_frame() {
        let file = file(&[[0, 5], [0, 9], [2, 1], [4, 3]]);
        let pixels = StoredPixels::find(&file, 5, 32, 5).expect("whole");
        let found = |frame| pixels.of_frame(&file, frame).expect("there");
        assert_eq!(
            [0, 1, 2, 3, 4].map(|frame| pixels.count(frame)),
            [2, 0, 1, 0, 1]
        );
        assert_eq!(
            (found(0), found(1), found(4)),
            (vec![5, 9], vec![], vec![3])
        );
        assert_eq!(pixels.count(5), 0);
        assert!(pixels.of_frame(&file, 5).is_err());
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error() {
        let mut file = file(&[[0, 5], [1, 9]]);
        let pixels = StoredPixels::find(&file, 5, 16, 2).expect("whole");
        file.truncate(15);
        assert!(pixels.of_frame(&file, 0).is_ok());
        let error = pixels.of_frame(&file, 1).expect_err("it is too short");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(StoredPixels::find(&file, 5, 16, 2).is_err());
        assert!(StoredPixels::find(&file, 5, 15, 2).is_err());
    }
}
