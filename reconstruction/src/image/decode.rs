//! Bytes of an image file to RGB pixels, with limits that hold before memory is taken.

use std::io::{self, Cursor};

use ::image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use ::image::error::LimitErrorKind;
use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer, ImageDecoder, ImageError, Limits, Pixel, Rgb, RgbImage};
use thiserror::Error;

use crate::geometry::FrameSize;

use super::format::{Detected, Format, detect};
use super::{jpeg, webp};

/// How large a file may be. Both limits hold before memory for pixels is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most bytes of a file.
    pub max_bytes: usize,
    /// Most pixels (width times height) of a decoded image.
    ///
    /// Decoding takes up to 12 bytes of memory per pixel beside the file: most for progressive CMYK
    /// JPEG and 16-bit PNG with alpha, 3 for an ordinary photo.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 32 MiB and 64 million pixels: a photo of any telephone or camera but the very largest.
    fn default() -> Self {
        Self {
            max_bytes: 32 << 20,
            max_pixels: 64_000_000,
        }
    }
}

/// Why a file gives no image.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// There are no bytes.
    #[error("the image is empty (0 bytes)")]
    Empty,
    /// The file has more bytes than [`DecodeLimits::max_bytes`].
    #[error("the image has {bytes} bytes, more than the limit of {limit}")]
    TooManyBytes {
        /// Length of the file.
        bytes: usize,
        /// The limit that it exceeds.
        limit: usize,
    },
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
    /// The content is an image, or close to one, but of a format that is not decoded.
    #[error("the file is {0}, which is not supported; send JPEG, PNG or WebP")]
    UnsupportedFormat(&'static str),
    /// The content is that of no known image format.
    #[error("the bytes are not an image; send JPEG, PNG or WebP")]
    UnknownFormat,
    /// The file ends before the image does.
    #[error("the {0} file is truncated: it ends before the image is complete")]
    Truncated(Format),
    /// The decoder does not know a feature that the file uses.
    #[error("the {format} file uses a feature that is not supported: {source}")]
    UnsupportedFeature {
        /// Format of the file.
        format: Format,
        /// What the decoder says.
        source: ImageError,
    },
    /// The file breaks the rules of its format.
    #[error("the {format} file is damaged: {source}")]
    Damaged {
        /// Format of the file.
        format: Format,
        /// What the decoder says.
        source: ImageError,
    },
    /// The decoder would need more memory than an image within the limits can.
    #[error("the {0} file would need more memory to decode than its pixel limit allows")]
    TooMuchMemory(Format),
}

/// Decodes a JPEG, PNG or WebP file, told by its content, to 8-bit RGB, upright.
///
/// - The orientation that the metadata (EXIF) gives is applied.
/// - Grey and palette images become RGB. Alpha is dropped: the colours stay as they are stored.
/// - Of 16 bits per channel the upper 8 are kept.
/// - Colour profiles are ignored: sample values are taken as sRGB.
///
/// # Errors
///
/// See [`DecodeError`]. A truncated file is an error, never an image that is partly grey.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, DecodeError> {
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
            // Bounds what the decoder takes for metadata, too.
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

/// Reads the pixels once the header was read and the size found to be within the limits.
fn pixels<D: ImageDecoder>(
    header: Result<D, ImageError>,
    format: Format,
    limits: &DecodeLimits,
) -> Result<RgbImage, DecodeError> {
    let failed = |source| failure(source, format);
    let mut decoder = header.map_err(failed)?;
    check_pixels(decoder.dimensions().into(), limits)?;
    decoder.set_limits(memory_limits(limits)).map_err(failed)?;
    // Metadata that cannot be read is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let mut upright = DynamicImage::ImageRgb8(to_rgb(image));
    upright.apply_orientation(orientation);
    Ok(upright.into_rgb8())
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

/// What the decoders may allocate: four channels of 16 bits for each pixel, and some work space.
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

/// Keeps the upper 8 of 16 bits, as Pillow does, where rescaling would round.
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
