//! Small copies of a session's images.

use bytes::Bytes;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};

use super::context::Context;
use super::ledger::Image;
use super::message::ThumbnailReply;
use crate::errors::StoredImageError;
use crate::frames::read_frame;
use crate::jobs::JobFrame;
use crate::mailbox::answer;

/// Longest side in pixels.
const MAX_SIDE: u32 = 256;
/// JPEG quality, of 100.
const QUALITY: u8 = 85;

/// Answers with a small copy of an image, made in the background.
pub(super) fn request(context: &Context, image: Option<&Image>, reply: ThumbnailReply) {
    match image {
        None => answer(reply, Ok(None)),
        Some(image) => {
            let frame = context.job_frame(image);
            context.answer_later(reply, move |context| thumbnail(context, &frame));
        }
    }
}

/// Makes a JPEG file of a prepared frame. Blocks.
fn thumbnail(context: &Context, frame: &JobFrame) -> Result<Bytes, StoredImageError> {
    let image = read_frame(&*context.blobs, frame, frame.size)
        .map_err(|error| StoredImageError::Read(error.to_string()))?;
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .encode_image(&shrunk(image))
        .map_err(|error| StoredImageError::Internal(error.to_string()))?;
    Ok(file.into())
}

/// Shrinks an image until its longest side is [`MAX_SIDE`]. Smaller images stay as they are.
fn shrunk(image: RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= MAX_SIDE {
        return image;
    }
    let side = |side: u32| {
        let scaled = f64::from(side) * f64::from(MAX_SIDE) / f64::from(longest);
        (scaled.round() as u32).max(1)
    };
    resize(&image, side(width), side(height), FilterType::Triangle)
}
