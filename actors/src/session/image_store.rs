//! Decoding, preparing and storing an image.

use bytes::Bytes;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{
    DecodeLimits, DecodingNeed, ImageStatistics, ProcessResMethod, decode, preprocess,
    preprocess_hidden, processed_region, processed_size,
};
use pointstream_reconstruction::model::{CameraHint, KnownCamera};
use tokio_util::sync::CancellationToken;

use super::admission::full;
use super::adopt::FramePreparation;
use super::context::Context;
use super::image_outcome::{ImageError, StoredImage};
use super::message::SessionMessage;
use crate::blobs::{BlobName, Blobs};
use crate::blocking::WorkFailed;
use crate::client_message::ImageUpload;
use crate::decode_memory::DecodeLease;
use crate::frames::frame_file;
use crate::session_config::SessionConfig;

/// Stores an image in the background. The session is notified by
/// [`SessionMessage::UploadSettled`].
///
/// `memory` holds what the image's file takes; it is dropped once the image is stored. What decoding takes
/// is taken from the memory for it before, and returned with it. An image whose turn
/// to be decoded comes after the end of the session is dropped. One that is too many by then, since those before
/// it fill the session, is refused without being decoded.
pub(super) fn store(
    context: &Context,
    config: &SessionConfig,
    number: u64,
    image: ImageSource,
    memory: impl Send + 'static,
) {
    let preparation = Preparation {
        limits: context.settings.image_limits,
        process_res: config.process_res,
        method: config.process_res_method,
        patch_size: context.settings.pool.model.metadata().patch_size,
    };
    let job = Job {
        context: context.clone(),
        number,
        most_images: config.max_images,
        preparation,
    };
    let work = async move {
        let stored = job.store(image).await;
        drop(memory);
        stored
    };
    context
        .mailbox
        .detached_work(work, move |outcome| SessionMessage::UploadSettled {
            number,
            outcome,
        });
}

/// An image that is to be stored.
struct Job {
    context: Context,
    /// Number of the image within the session.
    number: u64,
    most_images: u32,
    preparation: Preparation,
}

/// What became of an image in its first turn.
enum FirstTurn {
    Stored(StoredImage),
    /// There is too little memory for it now.
    Waits {
        job: Job,
        image: OpenImage,
        need: usize,
    },
}

impl Job {
    async fn store(self, image: ImageSource) -> Result<StoredImage, ImageError> {
        let (pool, owner) = (self.context.computing.clone(), self.context.owner());
        let ended = self.context.ended.clone();
        let slot = while_wanted(&ended, pool.slot(owner.clone())).await?;
        let (job, image, need) = match slot.run(move || self.first_turn(image)).await?? {
            FirstTurn::Stored(stored) => return Ok(stored),
            FirstTurn::Waits { job, image, need } => (job, image, need),
        };
        // The memory comes before the slot: who waits for it must not hold up others at the slots.
        let memory = job.context.decoding.clone();
        let turn = async {
            let lease = memory.take(owner.clone(), need).await?;
            Ok((lease, pool.slot(owner).await?))
        };
        let (lease, slot) = while_wanted(&ended, turn).await?;
        slot.run(move || job.decode(image, lease)).await?
    }

    /// Reads the header, and decodes the image if there is memory for it.
    fn first_turn(self, image: ImageSource) -> Result<FirstTurn, ImageError> {
        let image = image.open(&self.context, self.number)?;
        let memory = &self.context.decoding;
        let need = self.preparation.need(&image.bytes, memory.limit())?;
        Ok(match memory.take_now(need) {
            Some(lease) => FirstTurn::Stored(self.decode(image, lease)?),
            None => FirstTurn::Waits {
                job: self,
                image,
                need,
            },
        })
    }

    /// Decodes, prepares and writes the image. The lease is held until its prepared pixels are written.
    fn decode(self, image: OpenImage, _lease: DecodeLease) -> Result<StoredImage, ImageError> {
        let (context, number) = (self.context, self.number);
        if context.room.is_full_before(number) {
            return Err(full(self.most_images).into());
        }
        let OpenImage {
            bytes,
            camera,
            is_stored,
        } = image;
        context.metrics.sessions.image_decoded();
        let prepared = self.preparation.run(&bytes, camera)?;
        let original = (!is_stored).then_some(&bytes[..]);
        write(&context, number, original, &prepared.file)?;
        // Before the memory is given back: who gets it must know.
        context.room.decoded(number);
        Ok(prepared.stored)
    }
}

/// Waits for a turn, but not longer than the session.
async fn while_wanted<T>(
    ended: &CancellationToken,
    turn: impl Future<Output = Result<T, WorkFailed>>,
) -> Result<T, WorkFailed> {
    tokio::select! {
        biased;
        () = ended.cancelled() => Err(WorkFailed::session_ended()),
        turn = turn => turn,
    }
}

/// Writes both blobs of an image, or none. The original may be there already.
fn write(
    context: &Context,
    number: u64,
    original: Option<&[u8]>,
    prepared: &[u8],
) -> std::io::Result<()> {
    let blobs: &dyn Blobs = context.blobs.as_ref();
    let original_key = context.key(BlobName::Original(number));
    if let Some(original) = original {
        blobs.put_bytes(&original_key, original)?;
    }
    blobs
        .put_bytes(&context.key(BlobName::Prepared(number)), prepared)
        .inspect_err(|_| blobs.remove_or_warn(&original_key))
}

/// Where an image comes from.
pub(super) enum ImageSource {
    Upload(ImageUpload),
    /// Its original is among the session's files already.
    Stored {
        camera: SourceCamera,
    },
}

impl ImageSource {
    fn open(self, context: &Context, number: u64) -> std::io::Result<OpenImage> {
        Ok(match self {
            Self::Upload(image) => OpenImage {
                bytes: image.bytes,
                camera: SourceCamera::OfPhoto(image.camera),
                is_stored: false,
            },
            Self::Stored { camera } => OpenImage {
                bytes: context
                    .blobs
                    .get(&context.key(BlobName::Original(number)))?
                    .into(),
                camera,
                is_stored: true,
            },
        })
    }
}

/// An image whose file can be read.
struct OpenImage {
    bytes: Bytes,
    camera: SourceCamera,
    /// Whether its original is among the session's files already.
    is_stored: bool,
}

/// The camera of an image, if it is known.
pub(super) enum SourceCamera {
    OfPhoto(Option<Box<KnownCamera>>),
    /// That of a frame which was made of the photo.
    OfFrame {
        camera: Box<KnownCamera>,
        size: FrameSize,
        preparation: FramePreparation,
    },
}

/// How images are prepared for the model.
struct Preparation {
    limits: DecodeLimits,
    process_res: u32,
    method: ProcessResMethod,
    patch_size: u32,
}

struct PreparedImage {
    file: Vec<u8>,
    stored: StoredImage,
}

impl Preparation {
    /// The most memory that the image takes while it is prepared, in bytes; no more than `most`.
    fn need(&self, bytes: &[u8], most: usize) -> Result<usize, ImageError> {
        let header = DecodingNeed::of(bytes, &self.limits)?;
        let size = header.size;
        let processed = processed_size(size, self.process_res, self.method, self.patch_size)?;
        let need = header.with_preprocessing(processed);
        match usize::try_from(need) {
            Ok(need) if need <= most => Ok(need),
            _ => Err(ImageError::Memory { size, need, most }),
        }
    }

    fn run(&self, bytes: &[u8], camera: SourceCamera) -> Result<PreparedImage, ImageError> {
        let photo = decode(bytes, &self.limits)?;
        let prepared = preprocess(&photo.image, self.process_res, self.method, self.patch_size)?;
        let hidden = photo.hidden.as_ref().map(|hidden| {
            preprocess_hidden(hidden, self.process_res, self.method, self.patch_size)
        });
        let hidden = hidden.transpose()?.flatten();
        let size = FrameSize::of(&prepared);
        let source = FrameSize::of(&photo.image);
        let region = processed_region(source, self.process_res, self.method, size);
        let camera = match camera {
            SourceCamera::OfPhoto(camera) => camera.map(|camera| *camera),
            SourceCamera::OfFrame {
                camera,
                size,
                preparation:
                    FramePreparation {
                        process_res,
                        method,
                    },
            } => {
                let region = processed_region(source, process_res, method, size);
                Some(camera.of_whole(source, region, size))
            }
        };
        let camera = camera.map(|camera| camera.of_region(source, region, size));
        let statistics = ImageStatistics::of(&prepared);
        let hint = CameraHint::of_photo(&photo.camera, source);
        Ok(PreparedImage {
            file: frame_file(prepared, hidden.as_ref()),
            stored: StoredImage {
                bytes: bytes.len() as u64,
                size,
                has_hidden: hidden.is_some(),
                camera,
                statistics,
                hint: hint.of_region(source, region, size),
            },
        })
    }
}
