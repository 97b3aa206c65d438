//! Detects the format of a file from its first bytes.

use std::fmt;

/// A supported image format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG: baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK.
    Jpeg,
    /// PNG: all colour types and bit depths. Of an animation the default image is used.
    Png,
    /// WebP: lossy and lossless. Of an animation the first picture is used.
    WebP,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
        })
    }
}

/// The format of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detected {
    Supported(Format),
    /// A format that is not decoded; its name for the error message.
    Unsupported(&'static str),
    Unknown,
}

/// Finds the format by the signature at the start of `bytes`.
pub(super) fn detect(bytes: &[u8]) -> Detected {
    use Detected::{Supported, Unknown, Unsupported};
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
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4) {
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                Unsupported("HEIC")
            }
            Some(b"avif" | b"avis") => Unsupported("AVIF"),
            _ => Unsupported("video"),
        },
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => Unsupported("JPEG XL"),
        [b'%', b'P', b'D', b'F', ..] => Unsupported("PDF"),
        _ => Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_give_the_format() {
        let cases: [(&[u8], Detected); 9] = [
            (b"\xff\xd8\xff\xe0", Detected::Supported(Format::Jpeg)),
            (b"\x89PNG\r\n\x1a\n..", Detected::Supported(Format::Png)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Detected::Supported(Format::WebP)),
            (b"RIFF\0\0\0\0WAVEfmt ", Detected::Unknown),
            (b"GIF89a", Detected::Unsupported("GIF")),
            (b"\0\0\0\x18ftypheic", Detected::Unsupported("HEIC")),
            (b"\0\0\0\x18ftypisom", Detected::Unsupported("video")),
            (b"BM, said the text", Detected::Unknown),
            (b"", Detected::Unknown),
        ];
        for (bytes, expected) in cases {
            assert_eq!(detect(bytes), expected, "{bytes:?}");
        }
    }
}
