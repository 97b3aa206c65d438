//! Detects the format of a file from its first bytes.

use std::fmt;

use strum::{IntoStaticStr, VariantArray};

/// A supported image format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    /// JPEG: baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK.
    Jpeg,
    /// PNG: all colour types and bit depths. Of an animation the default image is used.
    Png,
    /// WebP: lossy and lossless. Of an animation the first picture is used.
    WebP,
    /// HEIC: one coded picture or a grid of tiles; of 8 or 10 bits, with or without alpha.
    Heic,
}

impl Format {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Heic => "image/heic",
        }
    }

    /// The usual end of names of files, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Heic => "heic",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Heic => "HEIC",
        })
    }
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    Supported(Format),
    /// A still picture, or a document, that is not decoded; its name for the error message.
    Unsupported(&'static str),
    /// A container for videos. It may also have only sound.
    Video,
    Unknown,
}

/// First bytes of a file that show what it is.
pub const SIGNATURE_BYTES: usize = 64;

/// Finds the format by the signature at the start of `bytes`.
pub fn detect(bytes: &[u8]) -> Detected {
    use Detected::{Supported, Unknown, Unsupported, Video};
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Supported(Format::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Supported(Format::Png),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Supported(Format::WebP),
        [b'G', b'I', b'F', b'8', ..] => Unsupported("GIF"),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Unsupported("TIFF"),
        // The length of the file follows "BM", then four bytes that are always zero.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Unsupported("BMP"),
        [a, b, c, d, b'f', b't', b'y', b'p', ..] => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            let end = usize::try_from(length).map_or(bytes.len(), |end| end.min(bytes.len()));
            still_of_brands(bytes.get(8..end).unwrap_or_default()).unwrap_or(Video)
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Video,
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'A',
            b'V',
            b'I',
            b' ',
            ..,
        ] => Video,
        [b'8', b'B', b'P', b'S', ..] => Unsupported("PSD"),
        [b'v', b'/', b'1', 1, ..] => Unsupported("OpenEXR"),
        [b'q', b'o', b'i', b'f', ..] => Unsupported("QOI"),
        [0, 0, 0, 0x0c, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            Unsupported("JPEG 2000")
        }
        [b'F', b'U', b'J', b'I', b'F', b'I', b'L', b'M', ..] | [b'I', b'I', b'R' | b'U', ..] => {
            Unsupported("a raw photo")
        }
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => Unsupported("JPEG XL"),
        [b'%', b'P', b'D', b'F', ..] => Unsupported("PDF"),
        _ => Unknown,
    }
}

/// The still picture that a file with these brands has: the main one, four bytes of version, and others. A
/// file of a still picture has one of its brands among them, a video has none. Brands of the container say
/// nothing about how the picture is coded.
fn still_of_brands(brands: &[u8]) -> Option<Detected> {
    let (brands, _) = brands.as_chunks::<4>();
    let mut still = None;
    for brand in brands {
        match brand {
            b"avif" | b"avis" => return Some(Detected::Unsupported("AVIF")),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
                still = still.or(Some(Detected::Supported(Format::Heic)));
            }
            b"crx " => still = still.or(Some(Detected::Unsupported("a raw photo"))),
            _ => {}
        }
    }
    still
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_give_the_format() {
        let cases: [(&[u8], Detected); 14] = [
            (b"\xff\xd8\xff\xe0", Detected::Supported(Format::Jpeg)),
            (b"\x89PNG\r\n\x1a\n..", Detected::Supported(Format::Png)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Detected::Supported(Format::WebP)),
            (b"RIFF\0\0\0\0WAVEfmt ", Detected::Unknown),
            (b"GIF89a", Detected::Unsupported("GIF")),
            (b"\0\0\0\x18ftypheic", Detected::Supported(Format::Heic)),
            (
                b"\0\0\0\x1cftypMiHB\0\0\0\0mif1heicmiaf",
                Detected::Supported(Format::Heic),
            ),
            (
                b"\0\0\0\x14ftypavif\0\0\0\0mif1",
                Detected::Unsupported("AVIF"),
            ),
            (
                b"\0\0\0\x18ftypmif1\0\0\0\0heicavif",
                Detected::Unsupported("AVIF"),
            ),
            (b"\0\0\0\x18ftypisom", Detected::Video),
            // What follows the box are no brands.
            (b"\0\0\0\x10ftypqt  \0\0\0\0heic", Detected::Video),
            (b"\x1a\x45\xdf\xa3....", Detected::Video),
            (b"BM, said the text", Detected::Unknown),
            (b"", Detected::Unknown),
        ];
        for (bytes, expected) in cases {
            assert_eq!(detect(bytes), expected, "{bytes:?}");
        }
    }
}
