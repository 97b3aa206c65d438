//! Reading prepared frames.

use std::io;

use image::RgbImage;
use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::image::center_crop;

use crate::blobs::{BlobKey, Blobs};

/// Reads a prepared frame of size `stored` and crops its centre to `size`. Blocks.
///
/// # Errors
/// The storage's, and [`io::ErrorKind::InvalidData`] if the blob has another length.
pub(crate) fn read_frame(
    blobs: &dyn Blobs,
    key: &BlobKey,
    stored: FrameSize,
    size: FrameSize,
) -> io::Result<RgbImage> {
    let pixels = blobs.get(key)?;
    let image = RgbImage::from_raw(stored.width, stored.height, pixels).ok_or_else(|| {
        let message = format!("{key} was changed from outside");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    Ok(if stored == size {
        image
    } else {
        center_crop(&image, size)
    })
}
