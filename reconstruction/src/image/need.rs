//! How much memory the decoding of a file takes, from its header.

use crate::geometry::FrameSize;

use super::decode::{DecodeError, DecodeLimits, check_file, check_pixels};
use super::format::Format;
use super::heic::Still;
use super::{jpeg, png, unread, webp};

/// Bytes of a decoded pixel.
const RGB: u64 = 3;
/// Bytes of a pixel that tell whether it is hidden.
const HIDDEN: u64 = 1;
/// Bytes of a pixel while an image is turned upright: before and after.
const TURNED: u64 = 2 * RGB;
/// Tables and small buffers of the decoders.
const TABLES: u64 = 1 << 20;
/// Tables of a colour profile, and of the conversion by it.
const COLOURS: u64 = 4 << 20;
/// A PNG file's colour profile may have so many bytes when it is unpacked.
const PROFILE: u64 = 4 << 20;

/// What the header of a file says, before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodingNeed {
    /// Size of the image as stored; upright it may be turned. That of a HEIC file is turned and cropped.
    pub size: FrameSize,
    /// The most memory that [`decode`](super::decode) takes beside the file, in bytes. For a damaged WebP
    /// file the decoder may ask for 16 MiB more for a moment, which it does not use.
    pub bytes: u64,
    /// Whether pixels may be hidden.
    alpha: bool,
}

impl DecodingNeed {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// Those of [`decode`](super::decode) that the header already shows.
    pub fn of(bytes: &[u8], limits: &DecodeLimits) -> Result<Self, DecodeError> {
        let format = check_file(bytes, limits)?;
        let header = Header::read(bytes, format, limits)?.filter(|header| !header.size.is_empty());
        let header = header.ok_or(DecodeError::Header(format))?;
        // The decoders copy the file, and once more its metadata, which can be nearly all of it.
        let copies = 2 + if format == Format::Jpeg {
            jpeg::mended_copies(bytes)
        } else {
            0
        };
        let file = copies * bytes.len() as u64;
        let colours = if has_profile(bytes, format) {
            COLOURS
        } else {
            0
        };
        Ok(Self {
            size: header.size,
            bytes: file + header.bytes + colours,
            alpha: header.alpha,
        })
    }

    /// The most memory that it takes to decode the image and to [`preprocess`](super::preprocess) it to
    /// this size, in bytes.
    pub fn with_preprocessing(&self, processed: FrameSize) -> u64 {
        // The image, scaled, and once more with sides of whole patches, or its luminance; and some rows
        // as floats.
        let sides = u64::from(self.size.width.max(self.size.height))
            + u64::from(processed.width.max(processed.height));
        let scaled = 4 * RGB * (processed.pixels() + sides * 64);
        let hidden = match self.alpha {
            true => HIDDEN * (self.size.pixels() + 3 * processed.pixels()),
            false => 0,
        };
        let preprocessing = RGB * self.size.pixels() + scaled + 64 * sides + hidden;
        self.bytes.max(preprocessing)
    }
}

impl DecodingNeed {
    /// The most memory that it takes to decode the image, and to make another one of its size and a JPEG
    /// file of that, in bytes.
    pub fn with_copy(&self) -> u64 {
        // The image, the other one, and the file, which is smaller than its pixels.
        self.bytes.max((3 * RGB + HIDDEN) * self.size.pixels())
    }
}

/// Whether the file may have a colour profile.
fn has_profile(bytes: &[u8], format: Format) -> bool {
    match format {
        Format::Jpeg => unread::has_profile(bytes),
        Format::Png => png::has_profile(bytes),
        Format::WebP => webp::has_profile(bytes),
        // Its header has counted the profile.
        Format::Heic => false,
    }
}

/// What a header says about size and memory.
pub(super) struct Header {
    pub size: FrameSize,
    /// The most memory for pixels and tables, in bytes.
    pub bytes: u64,
    /// Whether pixels may be hidden.
    alpha: bool,
}

impl Header {
    /// Reads it; `None` if it is damaged.
    ///
    /// # Errors
    /// If the image has too many pixels. What lies behind its size is not read then. Of a HEIC file also if
    /// the header is damaged.
    pub fn read(
        bytes: &[u8],
        format: Format,
        limits: &DecodeLimits,
    ) -> Result<Option<Self>, DecodeError> {
        let header = match format {
            Format::Jpeg => jpeg::frame(bytes).map(Self::of_jpeg),
            Format::Png => Png::read(bytes).map(|png| png.header()),
            Format::WebP => webp::picture(bytes).map(|(size, kind)| Self::of_webp(size, kind)),
            Format::Heic => Some(Self::of_heic(&Still::read(bytes, limits)?)),
        };
        let Some(header) = header else {
            return Ok(None);
        };
        check_pixels(header.size, limits)?;
        let tables = match format {
            Format::WebP => webp::table_bytes(bytes),
            Format::Jpeg | Format::Png | Format::Heic => Some(0),
        };
        Ok(tables.map(|tables| Self {
            bytes: header.bytes.saturating_add(tables),
            ..header
        }))
    }

    fn of_jpeg(frame: jpeg::Frame) -> Self {
        let components = u64::from(frame.components);
        // Components are padded to whole blocks, of up to 32 pixels if some have less samples.
        let padded = padded(frame.size, 32);
        let decoded = RGB * frame.size.pixels();
        let coefficients = match frame.keeps_coefficients {
            true => 2 * components * padded.pixels(),
            false => 0,
        };
        // Coefficients and samples of two rows of blocks.
        let rows = 2 * 32 * u64::from(padded.width) * components * 4;
        let decoding = decoded + coefficients + rows;
        Self {
            size: frame.size,
            bytes: decoding.max(TURNED * frame.size.pixels()) + TABLES,
            alpha: false,
        }
    }

    fn of_webp(size: FrameSize, kind: webp::Kind) -> Self {
        let pixels = padded(size, 16).pixels();
        let per_pixel = match kind {
            // Planes of 1.5 bytes, and the pixels; or turned pixels.
            webp::Kind::Lossy => TURNED,
            // Pixels with alpha, those without, and tables for blocks of pixels.
            webp::Kind::Lossless => 9,
            // Canvas and picture with alpha, planes, and the alpha channel with its own decoder.
            webp::Kind::Extended => 15,
        };
        Self {
            size,
            bytes: per_pixel * pixels + TABLES,
            alpha: kind != webp::Kind::Lossy,
        }
    }

    fn of_heic(still: &Still<'_>) -> Self {
        let pixels = still.size.pixels();
        // With alpha: all channels, those that are kept, and what is hidden.
        let alpha = still.has_alpha();
        let converted = if alpha { 4 + RGB + HIDDEN } else { TURNED } * pixels;
        let colours = if still.has_profile() { COLOURS } else { 0 };
        Self {
            size: still.size,
            bytes: still.bytes.max(converted) + colours + TABLES,
            alpha,
        }
    }
}

fn padded(size: FrameSize, block: u32) -> FrameSize {
    size.map(|side| side.div_ceil(block).saturating_mul(block))
}

/// The header chunk of a PNG file.
struct Png {
    size: FrameSize,
    depth: u8,
    colour: u8,
    alpha: bool,
}

impl Png {
    fn read(bytes: &[u8]) -> Option<Self> {
        // After a signature of 8 bytes the first chunk is the header: length, name, content.
        let chunk = bytes.get(8..26)?;
        if chunk.get(4..8)? != b"IHDR" {
            return None;
        }
        let side = |range: std::ops::Range<usize>| {
            Some(u32::from_be_bytes(chunk.get(range)?.try_into().ok()?))
        };
        Some(Self {
            size: FrameSize::new(side(8..12)?, side(12..16)?),
            depth: chunk[16],
            colour: chunk[17],
            // A channel of its own, or that of some colours.
            alpha: chunk[17] & 4 != 0 || png::has_transparency(bytes),
        })
    }

    /// Bytes of a pixel as decoded. A palette or a transparent colour adds channels.
    fn bytes_per_pixel(&self) -> u64 {
        let channels = match self.colour {
            0 | 4 => 2,
            _ => 4,
        };
        channels * if self.depth == 16 { 2 } else { 1 }
    }

    fn header(&self) -> Header {
        let pixels = self.size.pixels();
        let hidden = if self.alpha { HIDDEN } else { 0 };
        let per_pixel = (self.bytes_per_pixel() + RGB).max(TURNED) + hidden;
        // Each side may be up to 2^32.
        let converted = per_pixel.saturating_mul(pixels);
        let bytes = converted.saturating_add(self.beside_pixels() + TABLES);
        Header {
            size: self.size,
            bytes,
            alpha: self.alpha,
        }
    }

    /// Rows that are being read, and the colour profile.
    fn beside_pixels(&self) -> u64 {
        4 * 8 * u64::from(self.size.width) + PROFILE
    }
}

/// The most that the decoder of a PNG file may allocate beside the pixels, in bytes. Its chunks are read
/// as they are.
pub(super) fn png_limit(bytes: &[u8]) -> Option<u64> {
    let png = Png::read(bytes)?;
    Some(bytes.len() as u64 + png.beside_pixels())
}
