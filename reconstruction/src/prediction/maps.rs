//! Reads the maps of a stored prediction frame by frame.

use std::io;
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};

use super::file::{CONFIDENCE, DEPTH};
use crate::geometry::FrameSize;

/// Depth and confidence of a file that
/// [`save_safetensors`](super::Prediction::save_safetensors) wrote. The bytes may be a memory map.
#[derive(Debug)]
pub struct PredictionMaps<B> {
    bytes: B,
    pixels_per_frame: usize,
    depth: Range<usize>,
    confidence: Range<usize>,
}

impl<B: AsRef<[u8]>> PredictionMaps<B> {
    /// Finds the maps, of frames of this size.
    ///
    /// # Errors
    /// If the file has another format, or frames of another size.
    pub fn new(bytes: B, size: FrameSize) -> io::Result<Self> {
        let (header, metadata) = SafeTensors::read_metadata(bytes.as_ref())
            .map_err(|error| invalid(error.to_string()))?;
        let begin = header + size_of::<u64>();
        let find = |name: &str| {
            let info = metadata.info(name);
            let info = info.filter(|info| {
                info.dtype == Dtype::F32
                    && matches!(info.shape[..], [_, rows, columns]
                        if (rows, columns) == (size.rows(), size.columns()))
            });
            let (from, to) = info
                .ok_or_else(|| invalid(format!("{name} has another type or shape")))?
                .data_offsets;
            Ok::<_, io::Error>(begin + from..begin + to)
        };
        Ok(Self {
            depth: find(DEPTH)?,
            confidence: find(CONFIDENCE)?,
            pixels_per_frame: size.columns() * size.rows(),
            bytes,
        })
    }

    /// The depth of a frame, row-major.
    ///
    /// # Errors
    /// If there is no such frame.
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

    fn map(&self, tensor: &Range<usize>, frame: usize) -> io::Result<Vec<f32>> {
        let length = self.pixels_per_frame * size_of::<f32>();
        let begin = tensor.start + frame * length;
        let bytes = (begin + length <= tensor.end)
            .then(|| self.bytes.as_ref().get(begin..begin + length))
            .flatten()
            .ok_or_else(|| invalid(format!("there is no frame {frame}")))?;
        let (words, _) = bytes.as_chunks();
        Ok(words.iter().copied().map(f32::from_le_bytes).collect())
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
