//! Decoding, preparing and storing an image.

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{
    DecodeLimits, ImageStatistics, ProcessResMethod, decode, preprocess, processed_region,
};
use pointstream_reconstruction::model::{CameraHint, KnownCamera};

use super::context::Context;
use super::image_outcome::{ImageError, StoredImage};
use super::message::SessionMessage;
use crate::blobs::{BlobName, Blobs};
use crate::client_message::ImageUpload;
use crate::memory::MemoryLease;
use crate::session_config::SessionConfig;

/// Stores an image in the background. The session is notified by
/// [`SessionMessage::UploadSettled`].
///
/// `memory` is what the image's file takes; it is returned once the image is stored.
pub(super) fn store(
    context: &Context,
    config: &SessionConfig,
    number: u64,
    image: ImageUpload,
    memory: Option<MemoryLease>,
) {
    let preparation = Preparation {
        limits: context.settings.image_limits,
        process_res: config.process_res,
        method: config.process_res_method,
        patch_size: context.settings.model.metadata().patch_size,
    };
    let job = context.clone();
    let work = async move {
        let computing = job.computing.clone();
        let stored = computing.run(move || {
            let prepared = preparation.run(&image.bytes, image.camera.as_deref())?;
            write(&job, number, &image.bytes, &prepared.pixels)?;
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

/// Writes both blobs of an image, or none.
fn write(context: &Context, number: u64, original: &[u8], prepared: &[u8]) -> std::io::Result<()> {
    let blobs: &dyn Blobs = context.blobs.as_ref();
    let original_key = context.key(BlobName::Original(number));
    blobs.put_bytes(&original_key, original)?;
    blobs
        .put_bytes(&context.key(BlobName::Prepared(number)), prepared)
        .inspect_err(|_| blobs.remove_or_warn(&original_key))
}

/// How images are prepared for the model.
struct Preparation {
    limits: DecodeLimits,
    process_res: u32,
    method: ProcessResMethod,
    patch_size: u32,
}

struct PreparedImage {
    /// Rows of RGB bytes.
    pixels: Vec<u8>,
    stored: StoredImage,
}

impl Preparation {
    fn run(&self, bytes: &[u8], camera: Option<&KnownCamera>) -> Result<PreparedImage, ImageError> {
        let photo = decode(bytes, &self.limits)?;
        let prepared = preprocess(&photo.image, self.process_res, self.method, self.patch_size)?;
        let size = FrameSize::of(&prepared);
        let source = FrameSize::of(&photo.image);
        let region = processed_region(source, self.process_res, self.method, self.patch_size)?;
        let camera = camera.map(|camera| camera.of_region(source, region, size));
        let statistics = ImageStatistics::of(&prepared);
        let hint = CameraHint::of_photo(&photo.camera, source);
        Ok(PreparedImage {
            pixels: prepared.into_raw(),
            stored: StoredImage {
                bytes: bytes.len() as u64,
                size,
                camera,
                statistics,
                hint: hint.of_region(source, region, size),
            },
        })
    }
}
