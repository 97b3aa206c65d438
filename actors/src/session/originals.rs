//! A session's images as their clients sent them.

use pointstream_reconstruction::image::{Detected, SIGNATURE_BYTES, detect};

use super::context::Context;
use super::ledger::Image;
use super::message::OriginalReply;
use crate::blobs::{BlobKey, BlobName, Blobs};
use crate::errors::StoredImageError;
use crate::mailbox::answer;
use crate::report::OriginalImage;

/// Answers with the file of an image, which is opened in the background.
pub(super) fn request(context: &Context, image: Option<&Image>, reply: OriginalReply) {
    match image {
        None => answer(reply, Ok(None)),
        Some(image) => {
            let key = context.key(BlobName::Original(image.number));
            context.answer_later(reply, move |context| open(&*context.blobs, &key));
        }
    }
}

/// Opens a file, and finds its format. Blocks.
fn open(blobs: &dyn Blobs, key: &BlobKey) -> Result<OriginalImage, StoredImageError> {
    let read = |error: std::io::Error| StoredImageError::Read(error.to_string());
    let bytes = blobs.view(key).map_err(read)?;
    let begin = bytes.slice(0..SIGNATURE_BYTES).read().map_err(read)?;
    match detect(&begin) {
        Detected::Supported(format) => Ok(OriginalImage { bytes, format }),
        _ => Err(StoredImageError::Read(format!(
            "{key} is no image any more"
        ))),
    }
}
