//! Reads the maps of a stored prediction frame by frame.

use std::io;

use positioned_io::{ReadAt, Size};
use safetensors::Dtype;

use super::PredictionFileError;
use super::file::{CONFIDENCE, DEPTH};
use super::tensors::TensorFile;
use crate::geometry::FrameSize;
use crate::stored::floats;

/// Depth and confidence of a file that
/// [`save_safetensors`](super::Prediction::save_safetensors) wrote.
#[derive(Debug)]
pub struct PredictionMaps<F> {
    file: F,
    pixels_per_frame: usize,
    frames: usize,
    /// Where the maps begin in the file.
    depth: u64,
    confidence: u64,
}

impl<F: ReadAt + Size> PredictionMaps<F> {
    /// Finds the maps, of frames of this size.
    ///
    /// # Errors
    /// If the file has another format, or frames of another size.
    pub fn new(file: F, size: FrameSize) -> io::Result<Self> {
        let file = TensorFile::open(file).map_err(into_io)?;
        let depth = file.tensor(DEPTH, Dtype::F32).map_err(into_io)?;
        let &[frames, rows, columns] = depth.shape() else {
            return Err(invalid(format!("{DEPTH} has another shape")));
        };
        if (rows, columns) != (size.rows(), size.columns()) {
            return Err(invalid(format!("{DEPTH} has another shape")));
        }
        let confidence = file.tensor_of(CONFIDENCE, Dtype::F32, depth.shape());
        let confidence = confidence.map_err(into_io)?.position();
        let depth = depth.position();
        Ok(Self {
            depth,
            confidence,
            frames,
            pixels_per_frame: rows * columns,
            file: file.into_file(),
        })
    }

    /// The depth of a frame, row-major.
    ///
    /// # Errors
    /// If there is no such frame, or the file has become shorter.
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

    fn map(&self, begin: u64, frame: usize) -> io::Result<Vec<f32>> {
        if frame >= self.frames {
            return Err(invalid(format!("there is no frame {frame}")));
        }
        let before = frame * self.pixels_per_frame * size_of::<f32>();
        floats(&self.file, begin + before as u64, self.pixels_per_frame)
    }
}

fn into_io(error: PredictionFileError) -> io::Error {
    match error {
        PredictionFileError::Read(error) => error,
        other => invalid(other.to_string()),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
