//! Decodes image files to RGB pixels. Limits are checked before memory is allocated.

use std::borrow::Cow;
use std::io::{self, Cursor};

use ::image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use ::image::error::LimitErrorKind;
use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageBuffer, ImageDecoder, ImageError, Limits, Pixel, Rgb, RgbImage};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::geometry::FrameSize;

use super::exif::CameraTags;
use super::format::{Detected, Format, detect};
use super::heic::HeicDecoder;
use super::hidden::HiddenPixels;
use super::need::{Header, png_limit};
use super::{colour, jpeg, png, unread, webp};

/// How large a file may be. Both limits are checked before memory for pixels is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest file in bytes.
    pub max_bytes: usize,
    /// Largest decoded image in pixels (width times height).
    ///
    /// [`DecodingNeed`](super::DecodingNeed) tells how much memory the decoding of a file takes.
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
    #[error("the file is {0}, which is not supported; send JPEG, PNG, WebP or HEIC")]
    UnsupportedFormat(&'static str),
    /// The content has no known format.
    #[error("the bytes are not an image; send JPEG, PNG, WebP or HEIC")]
    UnknownFormat,
    /// The file ends before the image does.
    #[error("the {0} file is truncated: it ends before the image is complete")]
    Truncated(Format),
    /// A JPEG file with another entropy coding than Huffman's.
    #[error(
        "the JPEG file uses arithmetic coding, which is not supported; save it as an ordinary JPEG file, \
         or as PNG"
    )]
    ArithmeticCoding,
    /// The decoder does not know a feature that the file uses.
    #[error("the {format} file uses a feature that is not supported: {source}")]
    UnsupportedFeature { format: Format, source: ImageError },
    /// The decoder of HEIC files does not know a feature that the file uses.
    #[error("the HEIC file uses a feature that is not supported: {0}; export it as JPEG")]
    HeicFeature(&'static str),
    /// The file violates its format.
    #[error("the {format} file is damaged: {source}")]
    Damaged { format: Format, source: ImageError },
    /// The header has no size, or another one than the decoder finds.
    #[error("the {0} file is damaged: its header cannot be read")]
    Header(Format),
    /// Decoding would need more memory than any image within the limits.
    #[error("the {0} file would need more memory to decode than its pixel limit allows")]
    TooMuchMemory(Format),
}

/// A decoded photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Photo {
    /// Upright. Hidden pixels are grey.
    pub image: RgbImage,
    /// Its transparent pixels, if there are any.
    pub hidden: Option<HiddenPixels>,
    /// What the file says about its camera.
    pub camera: CameraTags,
}

/// Decodes a JPEG, PNG, WebP or HEIC file to upright 8-bit RGB. The content decides on the format.
///
/// - The orientation in the metadata (EXIF) is applied; of a HEIC file that of its container.
/// - Grey and palette images become RGB.
/// - Pixels that are less than half opaque lose their colours; others keep those that are stored.
/// - Of 16 bits per channel the upper 8 are kept, of 10 the nearest 8.
/// - Colours are converted to sRGB by the file's profile (ICC) if it is one of RGB; else they are taken
///   as sRGB.
/// - Metadata that cannot be read count as missing.
/// - A JPEG file without Huffman tables, as in a Motion JPEG stream, has the standard ones.
///
/// # Errors
///
/// See [`DecodeError`]. A truncated file is an error, never an image that is partly grey. A JPEG file that
/// lacks only its last marker is complete; if other data follow its pixels, they are not looked at.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Photo, DecodeError> {
    let format = check_file(bytes, limits)?;
    let announced = Header::read(bytes, format, limits)?.map(|header| header.size);
    let limits = &Announced {
        limits: *limits,
        size: announced,
    };
    let reader = Cursor::new(bytes);
    match format {
        Format::Jpeg => {
            let bytes = match jpeg::coding(bytes) {
                jpeg::Coding::Arithmetic => return Err(DecodeError::ArithmeticCoding),
                jpeg::Coding::WithoutTables => Cow::Owned(jpeg::with_standard_tables(bytes)),
                jpeg::Coding::Huffman => Cow::Borrowed(bytes),
            };
            let bytes = unread::without_unread(bytes);
            if jpeg::is_complete(&bytes) {
                return pixels(JpegDecoder::new(Cursor::new(&bytes)), format, limits, None);
            }
            without_end(&bytes, limits)
        }
        Format::Png => {
            // This also bounds the memory for metadata.
            let most = png_limit(bytes).ok_or(DecodeError::Truncated(format))?;
            let decoder = PngDecoder::with_limits(reader, memory_limit(most));
            pixels(decoder, format, limits, png::exif(bytes))
        }
        Format::WebP => {
            if !webp::is_complete(bytes) {
                return Err(DecodeError::Truncated(format));
            }
            if let Some(size) = webp::largest_lossy_picture(bytes) {
                check_pixels(size, &limits.limits)?;
            }
            pixels(WebPDecoder::new(reader), format, limits, None)
        }
        Format::Heic => {
            let decoder = HeicDecoder::new(bytes, &limits.limits)?;
            pixels(Ok(decoder), format, limits, None)
        }
    }
}

/// Decodes a JPEG file that lacks the marker of its end.
///
/// The decoder reads what stands behind the coded pixels only if some of them are missing. So the file is
/// complete if two different ends give the same image.
fn without_end(bytes: &[u8], limits: &Announced) -> Result<Photo, DecodeError> {
    let with_end = |filling| {
        let bytes = jpeg::with_end(bytes, filling).ok_or(DecodeError::Truncated(Format::Jpeg))?;
        pixels(
            JpegDecoder::new(Cursor::new(bytes)),
            Format::Jpeg,
            limits,
            None,
        )
    };
    let digest = Sha256::digest(with_end(0x00)?.image.as_raw());
    let photo = with_end(0x55)?;
    if Sha256::digest(photo.image.as_raw()) != digest {
        return Err(DecodeError::Truncated(Format::Jpeg));
    }
    Ok(photo)
}

/// Checks the size in the header against the limits, then reads the pixels. `exif` is what the decoder
/// does not find itself.
fn pixels<D: ImageDecoder>(
    header: Result<D, ImageError>,
    format: Format,
    announced: &Announced,
    exif: Option<&[u8]>,
) -> Result<Photo, DecodeError> {
    let failed = |source| failure(source, format);
    let mut decoder = header.map_err(failed)?;
    let size = decoder.dimensions().into();
    check_pixels(size, &announced.limits)?;
    if announced.size != Some(size) {
        return Err(DecodeError::Header(format));
    }
    // Four channels of 16 bits, and metadata.
    let most = size.pixels().saturating_mul(8).saturating_add(1 << 20);
    decoder.set_limits(memory_limit(most)).map_err(failed)?;
    // Unreadable metadata does not make the pixels unusable.
    let found = decoder.exif_metadata().unwrap_or(None);
    let exif = found.as_deref().or(exif);
    let orientation = match format {
        // The container says how to turn the picture, which its decoder has done. What EXIF says is for
        // information only (ISO/IEC 23008-12, A.2), and many writers leave it as the camera wrote it.
        Format::Heic => None,
        Format::Jpeg | Format::Png | Format::WebP => exif.and_then(Orientation::from_exif_chunk),
    };
    let profile = decoder.icc_profile().unwrap_or(None);
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let hidden = HiddenPixels::of(&image);
    let mut image = to_rgb(image);
    if let Some(profile) = profile {
        colour::to_srgb(&mut image, &profile);
    }
    if let Some(hidden) = &hidden {
        hidden.cover(&mut image);
    }
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let mut upright = DynamicImage::ImageRgb8(image);
    upright.apply_orientation(orientation);
    Ok(Photo {
        image: upright.into_rgb8(),
        hidden: hidden.map(|hidden| hidden.upright(orientation)),
        camera: exif.map(CameraTags::read).unwrap_or_default(),
    })
}

/// Checks what a file's first bytes and its length tell.
pub(super) fn check_file(bytes: &[u8], limits: &DecodeLimits) -> Result<Format, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() > limits.max_bytes {
        return Err(DecodeError::TooManyBytes {
            bytes: bytes.len(),
            limit: limits.max_bytes,
        });
    }
    match detect(bytes) {
        Detected::Supported(format) => Ok(format),
        Detected::Unsupported(name) => Err(DecodeError::UnsupportedFormat(name)),
        Detected::Video => Err(DecodeError::UnsupportedFormat("video")),
        Detected::Unknown => Err(DecodeError::UnknownFormat),
    }
}

/// The limits, and the size by which memory was claimed: the decoder must find no other one.
struct Announced {
    limits: DecodeLimits,
    size: Option<FrameSize>,
}

pub(super) fn check_pixels(size: FrameSize, limits: &DecodeLimits) -> Result<(), DecodeError> {
    if size.pixels() > limits.max_pixels {
        return Err(DecodeError::TooManyPixels {
            size,
            limit: limits.max_pixels,
        });
    }
    Ok(())
}

/// A limit for the memory that a decoder may allocate, in bytes.
fn memory_limit(bytes: u64) -> Limits {
    let mut memory = Limits::no_limits();
    memory.max_alloc = Some(bytes);
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
