//! Reading prepared frames.

use std::io;

use image::RgbImage;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::center_crop;
use thiserror::Error;

use crate::blobs::Blobs;
use crate::jobs::JobFrame;

/// A prepared frame cannot be read.
#[derive(Debug, Error)]
#[error("a stored image cannot be read: {0}")]
pub(crate) struct FrameError(#[source] io::Error);

/// Reads a prepared frame and crops its centre to `size`. Blocks.
///
/// # Errors
/// [`FrameError`], also if the blob does not have the frame's size.
pub(crate) fn read_frame(
    blobs: &dyn Blobs,
    frame: &JobFrame,
    size: FrameSize,
) -> Result<RgbImage, FrameError> {
    let pixels = blobs.get(&frame.blob).map_err(FrameError)?;
    let stored = frame.size;
    let image = RgbImage::from_raw(stored.width, stored.height, pixels).ok_or_else(|| {
        let message = "it was changed from outside";
        FrameError(io::Error::new(io::ErrorKind::InvalidData, message))
    })?;
    Ok(if stored == size {
        image
    } else {
        center_crop(&image, size)
    })
}
