//! The files of prepared frames: rows of RGB bytes. If pixels are hidden, one bit for each pixel follows
//! that tells which.

use std::io;

use image::RgbImage;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::{HiddenPixels, center_crop};
use thiserror::Error;

use crate::blobs::Blobs;
use crate::jobs::JobFrame;

/// A prepared frame cannot be read.
#[derive(Debug, Error)]
#[error("a stored image cannot be read: {0}")]
pub(crate) struct FrameError(#[source] io::Error);

/// The file of a prepared frame.
pub(crate) fn frame_file(image: RgbImage, hidden: Option<&HiddenPixels>) -> Vec<u8> {
    let mut file = image.into_raw();
    if let Some(hidden) = hidden {
        file.extend(hidden.to_bits());
    }
    file
}

/// Bytes of the file of a prepared frame.
pub(crate) fn frame_file_bytes(size: FrameSize, has_hidden: bool) -> u64 {
    let hidden = match has_hidden {
        true => HiddenPixels::bytes_of_bits(size),
        false => 0,
    };
    pixel_bytes(size).saturating_add(hidden)
}

/// Bytes of the pixels.
fn pixel_bytes(size: FrameSize) -> u64 {
    size.pixels().saturating_mul(3)
}

/// Reads a prepared frame and crops its centre to `size`. Blocks.
///
/// # Errors
/// [`FrameError`], also if the blob does not have the frame's size.
pub(crate) fn read_frame(
    blobs: &dyn Blobs,
    frame: &JobFrame,
    size: FrameSize,
) -> Result<RgbImage, FrameError> {
    let mut pixels = blobs.get(&frame.blob).map_err(FrameError)?;
    let stored = frame.size;
    if frame.has_hidden {
        // Never more than the file has.
        pixels.truncate(usize::try_from(pixel_bytes(stored)).unwrap_or(usize::MAX));
    }
    let image = RgbImage::from_raw(stored.width, stored.height, pixels).ok_or_else(changed)?;
    Ok(if stored == size {
        image
    } else {
        center_crop(&image, size)
    })
}

/// Reads which pixels of a prepared frame are hidden when its centre is cropped to `size`; `None` if none
/// are. Blocks.
///
/// # Errors
/// [`FrameError`], also if the blob has no such part.
pub(crate) fn read_hidden(
    blobs: &dyn Blobs,
    frame: &JobFrame,
    size: FrameSize,
) -> Result<Option<HiddenPixels>, FrameError> {
    if !frame.has_hidden {
        return Ok(None);
    }
    let view = blobs.view(&frame.blob).map_err(FrameError)?;
    let pixels = usize::try_from(pixel_bytes(frame.size)).unwrap_or(usize::MAX);
    let bits = view.slice(pixels..usize::MAX).read().map_err(FrameError)?;
    let hidden = HiddenPixels::from_bits(&bits, frame.size).ok_or_else(changed)?;
    Ok(hidden.center_crop(size))
}

fn changed() -> FrameError {
    let message = "it was changed from outside";
    FrameError(io::Error::new(io::ErrorKind::InvalidData, message))
}
