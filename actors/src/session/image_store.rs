//! Decoding, preparing and storing an image.

use bytes::Bytes;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{
    DecodeLimits, DecodingNeed, ImageStatistics, ProcessResMethod, decode, preprocess,
    preprocess_hidden, processed_region, processed_size,
};
use pointstream_reconstruction::model::{CameraHint, KnownCamera};

use super::admission::full;
use super::adopt::FramePreparation;
use super::context::Context;
use super::image_outcome::{ImageError, StoredImage};
use super::message::SessionMessage;
use crate::blobs::{BlobName, Blobs};
use crate::blocking::WorkFailed;
use crate::client_message::ImageUpload;
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
        patch_size: context.settings.model.metadata().patch_size,
    };
    let most_images = config.max_images;
    let job = context.clone();
    let work = async move {
        let ended = job.ended.clone();
        // The memory comes before the slot: who waits for it must not hold up others at the slots.
        let turn = async {
            let most = job.decoding.limit();
            let reading = job.computing.slot(job.owner()).await?;
            let opening = job.clone();
            let need = reading.run(move || {
                let image = image.open(&opening, number)?;
                let need = preparation.need(&image.bytes, most)?;
                Ok::<_, ImageError>((image, preparation, need))
            });
            let (image, preparation, need) = need.await??;
            let lease = job.decoding.take(job.owner(), need).await?;
            let slot = job.computing.slot(job.owner()).await?;
            Ok::<_, ImageError>((image, preparation, lease, slot))
        };
        let (image, preparation, lease, slot) = tokio::select! {
            biased;
            // Nobody wants the image any more.
            () = ended.cancelled() => return Err(WorkFailed::session_ended().into()),
            turn = turn => turn?,
        };
        if job.room.is_full_before(number) {
            return Err(full(most_images).into());
        }
        let stored = slot.run(move || {
            // Until the prepared pixels are written.
            let _lease = lease;
            let OpenImage {
                bytes,
                camera,
                is_stored,
            } = image;
            job.metrics.sessions.image_decoded();
            let prepared = preparation.run(&bytes, camera)?;
            let original = (!is_stored).then_some(&bytes[..]);
            write(&job, number, original, &prepared.file)?;
            // Before the memory is given back: who gets it must know.
            job.room.decoded(number);
            Ok(prepared.stored)
        });
        let stored = stored.await?;
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
        let region = processed_region(source, self.process_res, self.method, self.patch_size)?;
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
                let region = processed_region(source, process_res, method, self.patch_size)?;
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
