//! A stored result, and the data that its other formats are made of.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::sync::Arc;

use image::RgbImage;
use pointstream_reconstruction::cloud::{FrameCloud, World};
use pointstream_reconstruction::formats::colmap::write_colmap;
use pointstream_reconstruction::formats::e57::write_e57;
use pointstream_reconstruction::formats::las::{Compression, write_las};
use pointstream_reconstruction::formats::mesh::{DepthRules, MeshFile, write_mesh};
use pointstream_reconstruction::formats::nerfstudio::write_nerfstudio;
use pointstream_reconstruction::formats::npz::{NpzReader, write_npz};
use pointstream_reconstruction::formats::ply::write_ply;
use pointstream_reconstruction::formats::text::{Columns, write_text};
use pointstream_reconstruction::formats::{
    Cameras, FrameData, Images, Reconstruction, ResultFormat, WriteError,
};
use pointstream_reconstruction::geometry::FrameSize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::adopt::FramePreparation;
use super::context::Context;
use super::ledger::{ChunkFrame, ResultRecord, ResultSource, StoredMap};
use super::photos::PhotosOfFrames;
use super::result_chunks::{PixelFiles, ResultChunks};
use crate::answer::Answer;
use crate::blobs::{BlobKey, BlobName, BlobView, Blobs};
use crate::frames::read_frame;
use crate::ids::SessionId;

/// A result whose files are stored. Its large parts stay on disk.
pub(crate) struct StoredResult {
    record: Arc<ResultRecord>,
    answer: Arc<Answer>,
    blobs: Arc<dyn Blobs>,
    source: Source,
    /// The map that it was made of, as it was then.
    map: Option<Arc<StoredMap>>,
}

/// The open files of a [`ResultSource`].
enum Source {
    Arrays(NpzReader<BlobView>),
    Chunks(ResultChunks),
}

impl StoredResult {
    /// The files that a result may have been stored in.
    pub fn files(number: u64) -> [BlobName; 4] {
        [
            BlobName::Result(number, ResultFormat::Glb),
            BlobName::Result(number, ResultFormat::Npz),
            BlobName::ResultPixels(number),
            BlobName::ResultContradicted(number),
        ]
    }

    /// Opens the files of a result.
    ///
    /// # Errors
    /// If a file is missing or the NPZ cannot be read.
    pub fn open(
        blobs: Arc<dyn Blobs>,
        session: SessionId,
        record: Arc<ResultRecord>,
        map: Option<Arc<StoredMap>>,
    ) -> io::Result<Self> {
        let view = |name| blobs.view(&BlobKey { session, name });
        let of_format = |format| view(BlobName::Result(record.number, format));
        let answer = Self::open_answer(blobs.as_ref(), session, &record)?;
        let source = match &record.source {
            ResultSource::Arrays => {
                let npz = of_format(ResultFormat::Npz)?;
                Source::Arrays(NpzReader::new(npz, record.frames.len(), record.size)?)
            }
            ResultSource::Chunks(frames) => {
                let pixels = view(BlobName::ResultPixels(record.number))?;
                let contradicted = match record.has_contradicted {
                    true => Some(view(BlobName::ResultContradicted(record.number))?),
                    false => None,
                };
                let files = PixelFiles {
                    points: pixels,
                    contradicted,
                };
                let chunk = |file| view(BlobName::Prediction(file));
                Source::Chunks(ResultChunks::open(files, frames, record.size, chunk)?)
            }
        };
        let of_map = matches!(source, Source::Chunks(_));
        Ok(Self {
            source,
            answer: Arc::new(answer),
            blobs,
            record,
            map: map.filter(|_| of_map),
        })
    }

    /// Opens the file that a client gets.
    ///
    /// # Errors
    /// If it is missing.
    pub fn open_answer(
        blobs: &dyn Blobs,
        session: SessionId,
        record: &ResultRecord,
    ) -> io::Result<Answer> {
        let name = BlobName::Result(record.number, ResultFormat::Glb);
        Ok(Answer {
            number: record.number,
            kind: record.kind,
            image_count: record.image_count,
            glb: blobs.view(&BlobKey { session, name })?,
            metadata: record.metadata.clone(),
            description: Arc::default(),
        })
    }

    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// The result as the client gets it.
    pub fn answer(&self) -> &Arc<Answer> {
        &self.answer
    }

    /// The map that it was made of, as it was then; `None` for one run of the model.
    pub fn map(&self) -> Option<&StoredMap> {
        self.map.as_deref()
    }

    /// Whether it lacks points that the map has, because other frames contradict them.
    pub fn leaves_out_points(&self) -> bool {
        self.record.has_contradicted
    }

    pub fn cameras(&self) -> &Cameras {
        &self.record.cameras
    }

    /// The size that all frames were cropped to.
    pub fn size(&self) -> FrameSize {
        self.record.size
    }

    /// The placed frames with their points. Blocks.
    ///
    /// # Errors
    /// [`WriteError`] if the stored data cannot be read.
    pub fn frame_clouds(&self) -> Result<Vec<FrameCloud>, WriteError> {
        let frames = Frames {
            result: self,
            cancelled: &CancellationToken::new(),
        };
        let reconstruction = Reconstruction {
            cameras: &self.record.cameras,
            frames: &frames,
        };
        let placed = reconstruction.placed();
        let clouds = placed.filter_map(|frame| reconstruction.frame_cloud(&frame).transpose());
        clouds.collect()
    }

    /// The file, if the result was stored in this format.
    pub fn stored(&self, format: ResultFormat) -> Option<BlobView> {
        match (format, &self.source) {
            (ResultFormat::Glb, _) => Some(self.answer.glb.clone()),
            (ResultFormat::Npz, Source::Arrays(arrays)) => Some(arrays.file().clone()),
            _ => None,
        }
    }

    /// Writes the file of a format and stores it atomically under `key`. `preparation` is how the session
    /// made frames of photos. Blocks.
    ///
    /// # Errors
    /// [`WriteError`], also soon after `cancelled`.
    pub(super) fn write(
        &self,
        format: ResultFormat,
        key: &BlobKey,
        context: &Context,
        preparation: FramePreparation,
        cancelled: &CancellationToken,
    ) -> Result<BlobView, WriteError> {
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
        let photos = PhotosOfFrames {
            context,
            preparation,
            frames: &self.record.frames,
            size: self.record.size,
            cancelled,
        };
        let (processed, original) = (Images::Processed, Images::Original(&photos));
        let mut file = BufWriter::new(self.blobs.draft(key)?);
        match format {
            ResultFormat::Ply => write_ply(&reconstruction, &mut file)?,
            ResultFormat::Colmap => file = write_colmap(&reconstruction, processed, file)?,
            ResultFormat::ColmapOriginal => file = write_colmap(&reconstruction, original, file)?,
            ResultFormat::Nerfstudio => file = write_nerfstudio(&reconstruction, processed, file)?,
            ResultFormat::NerfstudioOriginal => {
                file = write_nerfstudio(&reconstruction, original, file)?;
            }
            ResultFormat::Npz => file = write_npz(&reconstruction, file)?,
            ResultFormat::Las => file = write_las(&reconstruction, Compression::Las, file)?,
            ResultFormat::Laz => file = write_las(&reconstruction, Compression::Laz, file)?,
            ResultFormat::E57 => {
                let id = format!("{}-{}", key.session, self.number());
                // It writes whole pages, and reads again what it has written.
                let path = file.get_ref().path();
                let own = File::options().read(true).write(true).open(path)?;
                write_e57(&reconstruction, &id, own)?;
            }
            ResultFormat::Xyz => write_text(&reconstruction, Columns::Xyz, &mut file)?,
            ResultFormat::Csv => write_text(&reconstruction, Columns::Csv, &mut file)?,
            ResultFormat::MeshGlb => self.write_mesh(&reconstruction, MeshFile::Glb, &mut file)?,
            ResultFormat::MeshPly => self.write_mesh(&reconstruction, MeshFile::Ply, &mut file)?,
            ResultFormat::MeshObj => self.write_mesh(&reconstruction, MeshFile::Obj, &mut file)?,
            ResultFormat::Glb => {}
        }
        let draft = file.into_inner().map_err(IntoInnerError::into_error)?;
        self.blobs.put(draft)?;
        let view = self.blobs.view(key);
        Ok(view.inspect_err(|_| self.blobs.remove_or_warn(key))?)
    }

    fn write_mesh(
        &self,
        reconstruction: &Reconstruction,
        form: MeshFile,
        file: &mut impl Write,
    ) -> Result<(), WriteError> {
        let rules = DepthRules {
            thresholds: self.thresholds(),
            filters: self.record.metadata.options.filters(),
        };
        write_mesh(reconstruction, &rules, form, file)
    }

    /// The confidence from which pixels of each frame were points; `None` for a frame without depth, or of a piece of
    /// the map that is not drawn.
    fn thresholds(&self) -> Vec<Option<f32>> {
        let of_result = self.record.metadata.confidence_threshold;
        let ResultSource::Chunks(frames) = &self.record.source else {
            return vec![Some(of_result); self.record.frames.len()];
        };
        let drawn: HashMap<Uuid, f32> = self.map.iter().flat_map(|stored| drawn(stored)).collect();
        let of_frame = |frame: &Option<ChunkFrame>| drawn.get(&frame.as_ref()?.file).copied();
        frames.iter().map(of_frame).collect()
    }
}

/// The outcome of a request.
pub(crate) struct Generated {
    pub record: Arc<ResultRecord>,
    pub result: Arc<StoredResult>,
    /// The session's coordinates, with what this result adds; `None` if it adds nothing.
    pub world: Option<Arc<World>>,
}

/// The chunks of a map that are drawn, with their thresholds.
fn drawn(stored: &StoredMap) -> impl Iterator<Item = (Uuid, f32)> + '_ {
    let chunks = stored.map.drawn_chunks();
    chunks.filter_map(|(index, chunk)| {
        let file = *stored.files.get(index)?;
        Some((file, chunk.confidence_threshold))
    })
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
        match &self.result.source {
            Source::Arrays(arrays) => arrays.point_count(frame),
            Source::Chunks(chunks) => chunks.point_count(frame),
        }
    }

    fn pixels(&self, frame: usize) -> io::Result<Vec<u32>> {
        match &self.result()?.source {
            Source::Arrays(arrays) => arrays.pixels(frame),
            Source::Chunks(chunks) => chunks.pixels(frame),
        }
    }

    fn depth(&self, frame: usize) -> io::Result<Vec<f32>> {
        match &self.result()?.source {
            Source::Arrays(arrays) => arrays.depth(frame),
            Source::Chunks(chunks) => chunks.depth(frame),
        }
    }

    fn confidence(&self, frame: usize) -> io::Result<Vec<f32>> {
        match &self.result()?.source {
            Source::Arrays(arrays) => arrays.confidence(frame),
            Source::Chunks(chunks) => chunks.confidence(frame),
        }
    }

    fn image(&self, frame: usize) -> io::Result<RgbImage> {
        let result = self.result()?;
        let record = &result.record;
        let frame = record.frames.get(frame).ok_or(io::ErrorKind::NotFound)?;
        read_frame(&*result.blobs, frame, record.size).map_err(io::Error::other)
    }
}
