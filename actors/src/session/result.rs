//! A result on disk, and what its other formats are made of.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use image::RgbImage;
use pointstream_reconstruction::formats::colmap::write_colmap;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::npz::NpzReader;
use pointstream_reconstruction::formats::ply::write_ply;
use pointstream_reconstruction::formats::{
    Cameras, FrameData, Reconstruction, ResultFormat, WriteError,
};
use pointstream_reconstruction::geometry::FrameSize;

use crate::event::Answer;
use crate::pool::job::SpooledFrame;
use crate::spool::Spool;

/// A result. Its large parts lie on disk: points, depth and confidence in files of its own, images
/// in the session's.
pub(crate) struct StoredResult {
    answer: Arc<Answer>,
    spool: Spool,
    cameras: Cameras,
    frames: Vec<SpooledFrame>,
    size: FrameSize,
    arrays: NpzReader<Bytes>,
}

impl StoredResult {
    /// The formats that every result is stored in.
    pub const FORMATS: [ResultFormat; 2] = [ResultFormat::Glb, ResultFormat::Npz];

    /// A result whose files are stored. `frames` are those of the generation, all cut to `size`.
    ///
    /// # Errors
    /// If the NPZ file cannot be read.
    pub fn new(
        answer: Answer,
        spool: Spool,
        cameras: Cameras,
        frames: Vec<SpooledFrame>,
        size: FrameSize,
    ) -> io::Result<Self> {
        let npz = spool.view_result(answer.number, ResultFormat::Npz)?;
        Ok(Self {
            arrays: NpzReader::new(npz, frames.len(), size)?,
            answer: Arc::new(answer),
            spool,
            cameras,
            frames,
            size,
        })
    }

    /// What the client got.
    pub fn answer(&self) -> &Arc<Answer> {
        &self.answer
    }

    /// The file, if it is one of [`Self::FORMATS`].
    pub fn stored(&self, format: ResultFormat) -> Option<Bytes> {
        match format {
            ResultFormat::Glb => Some(self.answer.glb.clone()),
            ResultFormat::Npz => Some(self.arrays.bytes().clone()),
            ResultFormat::Ply | ResultFormat::Colmap | ResultFormat::Nerfstudio => None,
        }
    }

    /// Writes the file of a format, or nothing. Blocks.
    ///
    /// # Errors
    /// [`WriteError`], also soon after `cancelled` is set.
    pub fn write(&self, format: ResultFormat, cancelled: &AtomicBool) -> Result<Bytes, WriteError> {
        if let Some(stored) = self.stored(format) {
            return Ok(stored);
        }
        let number = self.answer.number;
        self.write_file(format, cancelled)
            .and_then(|()| Ok(self.spool.view_result(number, format)?))
            .inspect_err(|_| self.spool.remove_result(number, format))
    }

    fn write_file(&self, format: ResultFormat, cancelled: &AtomicBool) -> Result<(), WriteError> {
        let frames = Frames {
            result: self,
            cancelled,
        };
        let reconstruction = Reconstruction {
            cameras: &self.cameras,
            frames: &frames,
        };
        let file = self.spool.create_result(self.answer.number, format)?;
        let mut file = BufWriter::new(file);
        match format {
            ResultFormat::Ply => write_ply(&reconstruction, &mut file)?,
            ResultFormat::Colmap => file = write_colmap(&reconstruction, file)?,
            ResultFormat::Nerfstudio => file = write_nerfstudio(&reconstruction, file)?,
            ResultFormat::Glb | ResultFormat::Npz => {}
        }
        Ok(file.flush()?)
    }
}

/// A result's frames, as long as somebody wants them.
struct Frames<'a> {
    result: &'a StoredResult,
    cancelled: &'a AtomicBool,
}

impl Frames<'_> {
    fn wanted(&self) -> io::Result<&StoredResult> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(io::Error::other("nobody waits for it any more"))
        } else {
            Ok(self.result)
        }
    }
}

impl FrameData for Frames<'_> {
    fn point_count(&self, frame: usize) -> usize {
        self.result.arrays.point_count(frame)
    }

    fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        self.wanted()?.arrays.pixels(frame)
    }

    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.wanted()?.arrays.depth(frame)
    }

    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.wanted()?.arrays.confidence(frame)
    }

    fn image(&self, frame: usize) -> io::Result<RgbImage> {
        let result = self.wanted()?;
        let spooled = result.frames.get(frame).ok_or(io::ErrorKind::NotFound)?;
        spooled.read(result.size).map_err(io::Error::other)
    }
}
