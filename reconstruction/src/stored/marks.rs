//! Sets of pixels of the frames of a stored result: a bit for each pixel, the lowest bit of a byte first.
//! The bits of each frame begin with a byte of their own.

use std::io;

use positioned_io::ReadAt;

use super::bytes;

/// A file with a set of pixels for each frame.
#[derive(Debug)]
pub struct StoredMarks<F> {
    file: F,
    pixels_per_frame: usize,
}

impl<F: ReadAt> StoredMarks<F> {
    pub fn new(file: F, pixels_per_frame: usize) -> Self {
        Self {
            file,
            pixels_per_frame,
        }
    }

    /// Row-major indices of the pixels of a frame, ascending.
    ///
    /// # Errors
    /// If the file ends before.
    pub fn of_frame(&self, frame: usize) -> io::Result<Vec<usize>> {
        let length = self.pixels_per_frame.div_ceil(8);
        let begin = frame as u64 * length as u64;
        let bits = bytes(&self.file, begin, length)?;
        let pixels =
            (0..self.pixels_per_frame).filter(|index| bits[index / 8] >> (index % 8) & 1 == 1);
        Ok(pixels.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_each_frame_are_its_pixels() {
        let marks = StoredMarks::new(vec![0b1000_0001_u8, 0b10, 0, 0b1, 0xff, 0xff], 10);
        let of_frame = |frame| marks.of_frame(frame).expect("there");
        assert_eq!(of_frame(0), [0, 7, 9]);
        assert_eq!(of_frame(1), [8]);
        assert_eq!(of_frame(2), (0..10).collect::<Vec<_>>());
        assert!(marks.of_frame(3).is_err());
    }
}
