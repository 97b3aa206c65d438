//! A stored result, and the data that its other formats are made of.

use std::io::{self, BufWriter, IntoInnerError};
use std::sync::Arc;

use bytes::Bytes;
use image::RgbImage;
use pointstream_reconstruction::cloud::World;
use pointstream_reconstruction::formats::colmap::write_colmap;
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::npz::NpzReader;
use pointstream_reconstruction::formats::ply::write_ply;
use pointstream_reconstruction::formats::{FrameData, Reconstruction, ResultFormat, WriteError};
use tokio_util::sync::CancellationToken;

use super::ledger::ResultRecord;
use crate::answer::Answer;
use crate::blobs::{BlobKey, BlobName, Blobs};
use crate::frames::read_frame;
use crate::ids::SessionId;

/// A result whose files are stored. Its large parts stay on disk.
pub(crate) struct StoredResult {
    record: Arc<ResultRecord>,
    answer: Arc<Answer>,
    blobs: Arc<dyn Blobs>,
    arrays: NpzReader<Bytes>,
}

impl StoredResult {
    /// The formats that every result is stored in.
    pub const FORMATS: [ResultFormat; 2] = [ResultFormat::Glb, ResultFormat::Npz];

    /// Opens the files of a result.
    ///
    /// # Errors
    /// If a file is missing or the NPZ cannot be read.
    pub fn open(
        blobs: Arc<dyn Blobs>,
        session: SessionId,
        record: Arc<ResultRecord>,
    ) -> io::Result<Self> {
        let view = |format| {
            let name = BlobName::Result(record.number, format);
            blobs.view(&BlobKey { session, name })
        };
        Ok(Self {
            arrays: NpzReader::new(view(ResultFormat::Npz)?, record.frames.len(), record.size)?,
            answer: Arc::new(Answer {
                number: record.number,
                kind: record.kind,
                image_count: record.image_count,
                glb: view(ResultFormat::Glb)?,
                metadata: record.metadata.clone(),
            }),
            blobs,
            record,
        })
    }

    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// The result as the client gets it.
    pub fn answer(&self) -> &Arc<Answer> {
        &self.answer
    }

    /// The file, if the format is one of [`Self::FORMATS`].
    pub fn stored(&self, format: ResultFormat) -> Option<Bytes> {
        match format {
            ResultFormat::Glb => Some(self.answer.glb.clone()),
            ResultFormat::Npz => Some(self.arrays.bytes().clone()),
            ResultFormat::Ply | ResultFormat::Colmap | ResultFormat::Nerfstudio => None,
        }
    }

    /// Writes the file of a format and stores it atomically under `key`. Blocks.
    ///
    /// # Errors
    /// [`WriteError`], also soon after `cancelled`.
    pub fn write(
        &self,
        format: ResultFormat,
        key: &BlobKey,
        cancelled: &CancellationToken,
    ) -> Result<Bytes, WriteError> {
        if let Some(stored) = self.stored(format) {
            return Ok(stored);
        }
        let frames = Frames {
            result: self,
            cancelled,
        };
        let reconstruction = Reconstruction {
            cameras: &self.record.cameras,
            frames: &frames,
        };
        let mut file = BufWriter::new(self.blobs.draft(key)?);
        match format {
            ResultFormat::Ply => write_ply(&reconstruction, &mut file)?,
            ResultFormat::Colmap => file = write_colmap(&reconstruction, file)?,
            ResultFormat::Nerfstudio => file = write_nerfstudio(&reconstruction, file)?,
            ResultFormat::Glb | ResultFormat::Npz => {}
        }
        let draft = file.into_inner().map_err(IntoInnerError::into_error)?;
        self.blobs.put(draft)?;
        let view = self.blobs.view(key);
        Ok(view.inspect_err(|_| self.blobs.remove_or_warn(key))?)
    }
}

/// The outcome of a request.
pub(crate) struct Generated {
    pub record: Arc<ResultRecord>,
    pub result: Arc<StoredResult>,
    /// The session's coordinates, with what this result adds.
    pub world: Arc<World>,
}

/// A result's frames, until the writing is cancelled.
struct Frames<'a> {
    result: &'a StoredResult,
    cancelled: &'a CancellationToken,
}

impl Frames<'_> {
    fn result(&self) -> io::Result<&StoredResult> {
        if self.cancelled.is_cancelled() {
            Err(io::Error::other("nobody waits for the file any more"))
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
        self.result()?.arrays.pixels(frame)
    }

    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.result()?.arrays.depth(frame)
    }

    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        self.result()?.arrays.confidence(frame)
    }

    fn image(&self, frame: usize) -> io::Result<RgbImage> {
        let result = self.result()?;
        let record = &result.record;
        let frame = record.frames.get(frame).ok_or(io::ErrorKind::NotFound)?;
        read_frame(&*result.blobs, frame, record.size).map_err(io::Error::other)
    }
}
