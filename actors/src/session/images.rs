//! A session's images, shown: what they are, and small copies of them.

use bytes::Bytes;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use tracing::Instrument;

use super::State;
use crate::mailbox::{Reply, answer};
use crate::pool::job::SpooledFrame;
use crate::summary::{ImageSummary, ThumbnailFailed};

/// Longest side of a thumbnail in pixels.
const THUMBNAIL_SIDE: u32 = 256;
/// Quality of a thumbnail, of 100.
const THUMBNAIL_QUALITY: u8 = 85;

/// Where a thumbnail goes that was asked for.
pub(crate) type ThumbnailReply = Reply<Result<Option<Bytes>, ThumbnailFailed>>;

impl State {
    pub(super) fn list_images(&self) -> Vec<ImageSummary> {
        let images = self.images.iter();
        images
            .map(|image| ImageSummary {
                id: image.id.clone(),
                name: image.name.clone(),
                width: image.size.width,
                height: image.size.height,
            })
            .collect()
    }

    pub(super) fn on_thumbnail(&self, index: usize, mut reply: ThumbnailReply) {
        let Some(image) = self.images.get(index) else {
            return answer(reply, Ok(None));
        };
        let frame = self.job_frame(image).pixels;
        let workshop = self.workshop.clone();
        let work = async move {
            let made = tokio::select! {
                biased;
                // Nobody waits any more: it need not wait for a place either.
                () = reply.closed() => return,
                made = workshop.run(move || thumbnail(&frame)) => made,
            };
            let made =
                made.unwrap_or_else(|failed| Err(ThumbnailFailed::Internal(failed.to_string())));
            answer(reply, made.map(Some));
        };
        tokio::spawn(work.instrument(self.span.clone()));
    }
}

/// Makes a JPEG of a prepared image that fits into a small square. Blocks.
fn thumbnail(frame: &SpooledFrame) -> Result<Bytes, ThumbnailFailed> {
    let image = frame
        .read(frame.size)
        .map_err(|error| ThumbnailFailed::Read(error.to_string()))?;
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, THUMBNAIL_QUALITY)
        .encode_image(&shrunk(image))
        .map_err(|error| ThumbnailFailed::Internal(error.to_string()))?;
    Ok(file.into())
}

/// The image at the size of a thumbnail; one that is small enough stays as it is.
fn shrunk(image: RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= THUMBNAIL_SIDE {
        return image;
    }
    let side = |side: u32| {
        let scaled = f64::from(side) * f64::from(THUMBNAIL_SIDE) / f64::from(longest);
        (scaled.round() as u32).max(1)
    };
    resize(&image, side(width), side(height), FilterType::Triangle)
}
