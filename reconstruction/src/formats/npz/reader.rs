//! Reads NPZ files frame by frame.

use std::io::{self, Cursor, Read};
use std::ops::Range;

use zip::ZipArchive;
use zip::result::ZipError;

use super::npy::MAGIC;
use crate::geometry::FrameSize;

/// A file that [`NpzWriter`](super::NpzWriter) wrote. The bytes may be a memory map.
#[derive(Debug)]
pub struct NpzReader<B> {
    bytes: B,
    pixels_per_frame: usize,
    depth: Range<usize>,
    confidence: Range<usize>,
    points: Range<usize>,
    /// Index of the first point of each frame; the last entry is the number of points.
    first_points: Vec<usize>,
}

impl<B: AsRef<[u8]>> NpzReader<B> {
    /// Finds the arrays of this many frames of this size.
    ///
    /// # Errors
    /// If the file has another format, or its arrays have other lengths.
    pub fn new(bytes: B, frames: usize, size: FrameSize) -> io::Result<Self> {
        let mut archive = ZipArchive::new(Cursor::new(bytes.as_ref())).map_err(into_io)?;
        let mut find = |name: &str, item_bytes: usize| {
            let values = values(&mut archive, name)?;
            if values.len().is_multiple_of(item_bytes) {
                Ok(values)
            } else {
                Err(invalid(format!("{name} has another length")))
            }
        };
        let pixels_per_frame = size.columns() * size.rows();
        let map_bytes = frames * pixels_per_frame * size_of::<f32>();
        let depth = find("depth.npy", 1)?;
        let confidence = find("confidence.npy", 1)?;
        let points = find("points.npy", size_of::<[u32; 2]>())?;
        if depth.len() != map_bytes || confidence.len() != map_bytes {
            return Err(invalid("depth or confidence has another length".to_owned()));
        }
        let pairs: &[[[u8; 4]; 2]] = bytes.as_ref()[points.clone()].as_chunks().0.as_chunks().0;
        let first_points = (0..=frames)
            .map(|frame| {
                pairs.partition_point(|pair| (u32::from_le_bytes(pair[0]) as usize) < frame)
            })
            .collect();
        Ok(Self {
            bytes,
            pixels_per_frame,
            depth,
            confidence,
            points,
            first_points,
        })
    }

    /// The whole file.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// The depth of a frame, row-major.
    ///
    /// # Errors
    /// If there is no such frame; the other methods likewise.
    pub fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.map(&self.depth, frame)
    }

    /// The confidence of a frame, row-major.
    ///
    /// # Errors
    /// As above.
    pub fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.map(&self.confidence, frame)
    }

    /// Number of points of a frame, 0 if there is no such frame.
    pub fn point_count(&self, frame: usize) -> usize {
        self.points_of(frame).map_or(0, |points| points.len())
    }

    /// Row-major indices of the pixels that are points.
    ///
    /// # Errors
    /// As above.
    pub fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        let points = self.points_of(frame).ok_or_else(no_such_frame)?;
        let words = self.words(&self.points, 2 * points.start, 2 * points.len())?;
        Ok(words
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u32::from_le_bytes(pair[1]))
            .collect())
    }

    fn points_of(&self, frame: usize) -> Option<Range<usize>> {
        match self.first_points.get(frame..frame + 2)? {
            &[first, end] => Some(first..end),
            _ => None,
        }
    }

    fn map(&self, array: &Range<usize>, frame: usize) -> io::Result<Vec<f32>> {
        let count = self.pixels_per_frame;
        let words = self.words(array, frame * count, count)?;
        Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
    }

    /// A range of 32-bit values of an array.
    fn words(&self, array: &Range<usize>, first: usize, count: usize) -> io::Result<&[[u8; 4]]> {
        let array = &self.bytes.as_ref()[array.clone()];
        let words = array.as_chunks().0;
        words.get(first..first + count).ok_or_else(no_such_frame)
    }
}

/// Byte range of the values of an array: from the end of its header to the end of its entry.
fn values(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> io::Result<Range<usize>> {
    let mut entry = archive.by_name(name).map_err(into_io)?;
    let mut head = [0; MAGIC.len() + 2];
    entry.read_exact(&mut head)?;
    let (magic, length) = head.split_at(MAGIC.len());
    if magic != MAGIC || entry.compressed_size() != entry.size() {
        return Err(invalid(format!("{name} is not a plain NumPy array")));
    }
    let length = u16::from_le_bytes([length[0], length[1]]);
    let into = |bytes: u64| usize::try_from(bytes).map_err(io::Error::other);
    let start = into(entry.data_start())?;
    let end = start + into(entry.size())?;
    let values = start + head.len() + usize::from(length);
    if values <= end {
        Ok(values..end)
    } else {
        Err(invalid(format!("{name} ends within its header")))
    }
}

fn no_such_frame() -> io::Error {
    invalid("there is no such frame".to_owned())
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn into_io(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
