//! Decodes image files to RGB pixels. Limits are checked before memory is allocated.

use std::io::{self, Cursor};

use ::image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use ::image::error::LimitErrorKind;
use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer, ImageDecoder, ImageError, Limits, Pixel, Rgb, RgbImage};
use thiserror::Error;

use crate::geometry::FrameSize;

use super::exif::CameraTags;
use super::format::{Detected, Format, detect};
use super::{jpeg, webp};

/// How large a file may be. Both limits are checked before memory for pixels is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest file in bytes.
    pub max_bytes: usize,
    /// Largest decoded image in pixels (width times height).
    ///
    /// Decoding takes up to 12 bytes of memory per pixel beside the file: 12 for progressive CMYK
    /// JPEG and 16-bit PNG with alpha, 3 for an ordinary photo.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 32 MiB and 64 million pixels: enough for the photos of nearly all phones and cameras.
    fn default() -> Self {
        Self {
            max_bytes: 32 << 20,
            max_pixels: 64_000_000,
        }
    }
}

/// Why a file could not be decoded.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The file has no bytes.
    #[error("the image is empty (0 bytes)")]
    Empty,
    /// The file has more bytes than [`DecodeLimits::max_bytes`].
    #[error("the image has {bytes} bytes, more than the limit of {limit}")]
    TooManyBytes { bytes: usize, limit: usize },
    /// The image has more pixels than [`DecodeLimits::max_pixels`].
    #[error(
        "the image is {size}, {} pixels, more than the limit of {limit} pixels",
        size.pixels()
    )]
    TooManyPixels {
        /// Size that the file's header gives.
        size: FrameSize,
        /// Pixels that an image may have.
        limit: u64,
    },
    /// The content has a known format that is not supported.
    #[error("the file is {0}, which is not supported; send JPEG, PNG or WebP")]
    UnsupportedFormat(&'static str),
    /// The content has no known format.
    #[error("the bytes are not an image; send JPEG, PNG or WebP")]
    UnknownFormat,
    /// The file ends before the image does.
    #[error("the {0} file is truncated: it ends before the image is complete")]
    Truncated(Format),
    /// The decoder does not know a feature that the file uses.
    #[error("the {format} file uses a feature that is not supported: {source}")]
    UnsupportedFeature { format: Format, source: ImageError },
    /// The file violates its format.
    #[error("the {format} file is damaged: {source}")]
    Damaged { format: Format, source: ImageError },
    /// Decoding would need more memory than any image within the limits.
    #[error("the {0} file would need more memory to decode than its pixel limit allows")]
    TooMuchMemory(Format),
}

/// A decoded photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Photo {
    /// Upright.
    pub image: RgbImage,
    /// What the file says about its camera.
    pub camera: CameraTags,
}

/// Decodes a JPEG, PNG or WebP file to upright 8-bit RGB. The content decides on the format.
///
/// - The orientation in the metadata (EXIF) is applied.
/// - Grey and palette images become RGB. Alpha is dropped; the stored colours stay.
/// - Of 16 bits per channel the upper 8 are kept.
/// - Colour profiles are ignored: sample values are taken as sRGB.
/// - Metadata that cannot be read count as missing.
///
/// # Errors
///
/// See [`DecodeError`]. A truncated file is an error, never an image that is partly grey.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Photo, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() > limits.max_bytes {
        return Err(DecodeError::TooManyBytes {
            bytes: bytes.len(),
            limit: limits.max_bytes,
        });
    }
    let format = match detect(bytes) {
        Detected::Supported(format) => format,
        Detected::Unsupported(name) => return Err(DecodeError::UnsupportedFormat(name)),
        Detected::Unknown => return Err(DecodeError::UnknownFormat),
    };
    let reader = Cursor::new(bytes);
    match format {
        Format::Jpeg => {
            if !jpeg::is_complete(bytes) {
                return Err(DecodeError::Truncated(format));
            }
            pixels(JpegDecoder::new(reader), format, limits)
        }
        Format::Png => {
            // The limits also bound the memory for metadata.
            let decoder = PngDecoder::with_limits(reader, memory_limits(limits));
            pixels(decoder, format, limits)
        }
        Format::WebP => {
            if !webp::is_complete(bytes) {
                return Err(DecodeError::Truncated(format));
            }
            if let Some(size) = webp::largest_lossy_picture(bytes) {
                check_pixels(size, limits)?;
            }
            pixels(WebPDecoder::new(reader), format, limits)
        }
    }
}

/// Checks the size in the header against the limits, then reads the pixels.
fn pixels<D: ImageDecoder>(
    header: Result<D, ImageError>,
    format: Format,
    limits: &DecodeLimits,
) -> Result<Photo, DecodeError> {
    let failed = |source| failure(source, format);
    let mut decoder = header.map_err(failed)?;
    check_pixels(decoder.dimensions().into(), limits)?;
    decoder.set_limits(memory_limits(limits)).map_err(failed)?;
    // Unreadable metadata does not make the pixels unusable.
    let exif = decoder.exif_metadata().unwrap_or(None);
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let mut upright = DynamicImage::ImageRgb8(to_rgb(image));
    upright.apply_orientation(orientation);
    Ok(Photo {
        image: upright.into_rgb8(),
        camera: exif.as_deref().map(CameraTags::read).unwrap_or_default(),
    })
}

fn check_pixels(size: FrameSize, limits: &DecodeLimits) -> Result<(), DecodeError> {
    if size.pixels() > limits.max_pixels {
        return Err(DecodeError::TooManyPixels {
            size,
            limit: limits.max_pixels,
        });
    }
    Ok(())
}

/// Memory that a decoder may allocate: 8 bytes per pixel (four channels of 16 bits) and 1 MiB.
fn memory_limits(limits: &DecodeLimits) -> Limits {
    let mut memory = Limits::no_limits();
    memory.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(1 << 20));
    memory
}

fn failure(source: ImageError, format: Format) -> DecodeError {
    match source {
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated(format)
        }
        ImageError::Limits(error) if error.kind() == LimitErrorKind::InsufficientMemory => {
            DecodeError::TooMuchMemory(format)
        }
        ImageError::Unsupported(_) => DecodeError::UnsupportedFeature { format, source },
        _ => DecodeError::Damaged { format, source },
    }
}

fn to_rgb(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageLuma16(image) => upper_bits(&image),
        DynamicImage::ImageLumaA16(image) => upper_bits(&image),
        DynamicImage::ImageRgb16(image) => upper_bits(&image),
        DynamicImage::ImageRgba16(image) => upper_bits(&image),
        image => image.into_rgb8(),
    }
}

/// Keeps the upper 8 of 16 bits, like Pillow. Rescaling would round instead.
fn upper_bits<P>(image: &ImageBuffer<P, Vec<u16>>) -> RgbImage
where
    P: Pixel<Subpixel = u16>,
{
    let mut rgb = RgbImage::new(image.width(), image.height());
    for (target, source) in rgb.pixels_mut().zip(image.pixels()) {
        *target = Rgb(source.to_rgb().0.map(|sample| (sample >> 8) as u8));
    }
    rgb
}
