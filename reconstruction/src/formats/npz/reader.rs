//! Reads NPZ files frame by frame.

use std::io::{self, BufReader, Read, Seek};
use std::ops::Range;

use positioned_io::{ReadAt, Size, SizeCursor};
use zip::ZipArchive;
use zip::result::ZipError;

use super::npy::MAGIC;
use crate::geometry::FrameSize;
use crate::stored::{StoredPixels, floats};

/// A file that [`NpzWriter`](super::NpzWriter) wrote.
#[derive(Debug)]
pub struct NpzReader<F> {
    file: F,
    pixels_per_frame: usize,
    frames: usize,
    /// Where the maps begin in the file.
    depth: u64,
    confidence: u64,
    points: StoredPixels,
}

impl<F: ReadAt + Size> NpzReader<F> {
    /// Finds the arrays of this many frames of this size.
    ///
    /// # Errors
    /// If the file has another format, or its arrays have other lengths.
    pub fn new(file: F, frames: usize, size: FrameSize) -> io::Result<Self> {
        let reader = BufReader::new(SizeCursor::new(&file));
        let mut archive = ZipArchive::new(reader).map_err(into_io)?;
        let pixels_per_frame = size.columns() * size.rows();
        let map_bytes = (frames * pixels_per_frame * size_of::<f32>()) as u64;
        let depth = values(&mut archive, "depth.npy")?;
        let confidence = values(&mut archive, "confidence.npy")?;
        let points = values(&mut archive, "points.npy")?;
        if [&depth, &confidence].map(|map| map.end - map.start) != [map_bytes; 2] {
            return Err(invalid("depth or confidence has another length".to_owned()));
        }
        let length = usize::try_from(points.end - points.start).map_err(io::Error::other)?;
        Ok(Self {
            points: StoredPixels::find(&file, points.start, length, frames)?,
            depth: depth.start,
            confidence: confidence.start,
            pixels_per_frame,
            frames,
            file,
        })
    }

    /// The whole file.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// The depth of a frame, row-major.
    ///
    /// # Errors
    /// If there is no such frame, or the file has become shorter; the other methods likewise.
    pub fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.map(self.depth, frame)
    }

    /// The confidence of a frame, row-major.
    ///
    /// # Errors
    /// As above.
    pub fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.map(self.confidence, frame)
    }

    /// Number of points of a frame, 0 if there is no such frame.
    pub fn point_count(&self, frame: usize) -> usize {
        self.points.count(frame)
    }

    /// Row-major indices of the pixels that are points.
    ///
    /// # Errors
    /// As above.
    pub fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        self.points.of_frame(&self.file, frame)
    }

    fn map(&self, begin: u64, frame: usize) -> io::Result<Vec<f32>> {
        if frame >= self.frames {
            return Err(invalid("there is no such frame".to_owned()));
        }
        let before = frame * self.pixels_per_frame * size_of::<f32>();
        floats(&self.file, begin + before as u64, self.pixels_per_frame)
    }
}

/// Byte range of the values of an array: from the end of its header to the end of its entry.
fn values<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str) -> io::Result<Range<u64>> {
    let mut entry = archive.by_name(name).map_err(into_io)?;
    let mut head = [0; MAGIC.len() + 2];
    entry.read_exact(&mut head)?;
    let (magic, length) = head.split_at(MAGIC.len());
    if magic != MAGIC || entry.compressed_size() != entry.size() {
        return Err(invalid(format!("{name} is not a plain NumPy array")));
    }
    let length = u16::from_le_bytes([length[0], length[1]]);
    let start = entry.data_start();
    let end = start.saturating_add(entry.size());
    let values = start.saturating_add(head.len() as u64 + u64::from(length));
    if values <= end {
        Ok(values..end)
    } else {
        Err(invalid(format!("{name} ends within its header")))
    }
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
