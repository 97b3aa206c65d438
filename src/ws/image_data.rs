//! The `data` of an image message: a file as base64.
//!
//! It is decoded where it stands, so that a message takes no more memory than its text.

use std::ops::Range;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, DecodeSliceError, Engine, alphabet};
use thiserror::Error;

use crate::payload::Payload;

/// Standard base64 with optional padding.
const BASE64: GeneralPurpose = engine(DecodePaddingMode::Indifferent);
/// Standard base64 that goes on after this, so that padding would be wrong.
const BASE64_BEFORE_MORE: GeneralPurpose = engine(DecodePaddingMode::RequireNone);

/// Characters that are decoded at once: a multiple of 4.
const BLOCK: usize = 4 << 10;

const fn engine(padding: DecodePaddingMode) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding);
    GeneralPurpose::new(&alphabet::STANDARD, config)
}

/// Why `data` has no file.
#[derive(Debug, Error, PartialEq)]
pub enum ImageDataError {
    #[error("\"data\" is empty; send an image file as base64")]
    Empty,
    #[error("\"data\" is a data URL without \";base64,\"")]
    DataUrl,
    #[error("\"data\" is not valid base64: {0}")]
    Base64(#[from] DecodeError),
}

/// Decodes base64, bare or as a data URL, with or without padding and line breaks. It is the part `data` of
/// the payload, inside the quotes of a valid string of JSON.
///
/// # Errors
/// What is wrong with it. Places are counted without white space and without the head of a data URL.
pub fn decode(mut payload: Payload, mut data: Range<usize>) -> Result<Payload, ImageDataError> {
    let text = payload.as_mut();
    let encoded = text.get_mut(data.clone()).unwrap_or_default();
    // Of white space a string of JSON has only spaces, and the rest as escapes.
    if memchr::memchr2(b'\\', b' ', encoded).is_some() {
        data.end = data.start + unescape(encoded);
    }
    data.start += head(text.get(data.clone()).unwrap_or_default())?;
    let length = decode_to_front(text, data)?;
    if length == 0 {
        return Err(ImageDataError::Empty);
    }
    payload.truncate(length);
    Ok(payload)
}

/// Moves what the string means to its front, without white space. Returns its length.
fn unescape(encoded: &mut [u8]) -> usize {
    let (mut read, mut length) = (0, 0);
    while let Some(byte) = encoded.get(read) {
        read += 1;
        let byte = match byte {
            b'\\' => {
                let (byte, taken) = escaped(&encoded[read..]);
                read += taken;
                byte
            }
            byte => *byte,
        };
        if !byte.is_ascii_whitespace() {
            encoded[length] = byte;
            length += 1;
        }
    }
    length
}

/// The character after a backslash (RFC 8259, section 7), and the length of its escape.
fn escaped(rest: &[u8]) -> (u8, usize) {
    /// It is not of base64, as no character beyond ASCII is.
    const OTHER: u8 = 0xff;
    match rest {
        [b'u', digits @ ..] => {
            let digits = digits
                .get(..4)
                .and_then(|digits| str::from_utf8(digits).ok());
            let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            let ascii = number.and_then(|number| u8::try_from(number).ok());
            (ascii.unwrap_or(OTHER), 1 + digits.map_or(0, str::len))
        }
        [b'b', ..] => (0x08, 1),
        [b'f', ..] => (0x0c, 1),
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [byte, ..] => (*byte, 1),
        [] => (OTHER, 0),
    }
}

/// The length of a data URL's head (RFC 2397), which ends with the first comma; 0 if it is none.
fn head(encoded: &[u8]) -> Result<usize, ImageDataError> {
    if !encoded.starts_with(b"data:") {
        return Ok(0);
    }
    let comma = encoded.iter().position(|byte| *byte == b',');
    comma
        .filter(|comma| encoded[..*comma].ends_with(b";base64"))
        .map(|comma| comma + 1)
        .ok_or(ImageDataError::DataUrl)
}

/// Decodes a part of the text to the front of all of it. Returns the length. There is room: the file is
/// shorter than its base64.
fn decode_to_front(text: &mut [u8], data: Range<usize>) -> Result<usize, DecodeError> {
    let mut encoded = [0; BLOCK];
    let mut decoded = [0; BLOCK];
    let mut length = 0;
    for start in data.clone().step_by(BLOCK) {
        let end = data.end.min(start + BLOCK);
        let block = &mut encoded[..end - start];
        block.copy_from_slice(&text[start..end]);
        let engine = match end == data.end {
            true => BASE64,
            false => BASE64_BEFORE_MORE,
        };
        let some = engine
            .decode_slice(block, &mut decoded)
            .map_err(|error| moved(error, start - data.start))?;
        text[length..length + some].copy_from_slice(&decoded[..some]);
        length += some;
    }
    Ok(length)
}

/// The error of a block that begins at this place.
fn moved(error: DecodeSliceError, start: usize) -> DecodeError {
    match error {
        DecodeSliceError::DecodeError(error) => match error {
            DecodeError::InvalidByte(place, byte) => DecodeError::InvalidByte(start + place, byte),
            DecodeError::InvalidLength(length) => DecodeError::InvalidLength(start + length),
            DecodeError::InvalidLastSymbol(place, byte) => {
                DecodeError::InvalidLastSymbol(start + place, byte)
            }
            DecodeError::InvalidPadding => DecodeError::InvalidPadding,
        },
        // A block is decoded to a place of its own size.
        DecodeSliceError::OutputSliceTooSmall => DecodeError::InvalidLength(start),
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// Decodes a string of JSON in the middle of a text.
    fn decoded(data: &str) -> Result<Vec<u8>, ImageDataError> {
        let text = format!("{{\"data\": \"{data}\"}}");
        let start = "{\"data\": \"".len();
        let decoded = decode(text.into_bytes().into(), start..start + data.len())?;
        Ok(decoded.as_ref().to_vec())
    }

    #[test]
    fn base64_comes_in_several_shapes() {
        for data in [
            "aGVsbG8=",
            "aGVsbG8",
            r"aGVs\nbG8=\r\n",
            r"aGVsbG8\u003d",
            " aGVsbG8=",
            "data:image/png;base64,aGVsbG8=",
            "data:image/png;name=a;base64,aGVsbG8",
            r" data:image\/png;base64,aGVs\t\f bG8",
        ] {
            assert_eq!(decoded(data).as_deref(), Ok(&b"hello"[..]), "{data}");
        }
        assert_eq!(decoded(r"\/\/\u002f\u002B"), decoded("///+"));
    }

    #[test]
    fn files_of_any_length_are_decoded_in_the_place_of_their_text() {
        for length in (1..40)
            .chain(3 * BLOCK / 4 - 3..3 * BLOCK / 4 + 4)
            .chain([100_000])
        {
            let file: Vec<u8> = (0..length).map(|index| (index * 7 % 251) as u8).collect();
            let text = BASE64_STANDARD.encode(&file);
            for text in [text.trim_end_matches('='), &text] {
                assert_eq!(decoded(text).as_ref(), Ok(&file), "{length} bytes");
                let lines: Vec<&str> = text.split_inclusive('A').collect();
                assert_eq!(decoded(&lines.join("\\r\\n")).as_ref(), Ok(&file));
            }
        }
        let text = BASE64_STANDARD.encode([7; 100_000]).into_bytes();
        let (place, whole) = (text.as_ptr(), 0..text.len());
        let file = decode(text.into(), whole).expect("valid");
        let file = file.as_ref();
        assert_eq!((file.as_ptr(), file.len()), (place, 100_000));
    }

    #[test]
    fn invalid_data_is_refused() {
        for data in [
            "%%%",
            "a",
            "aGVsbG8==x",
            "____",
            "=",
            r"aGVs\u00e9bG8",
            r"aGVsbG8\",
            r"aGVsbG8\u00",
            "aGVs\u{e9}bG8",
            "data:image/png;base64,?",
        ] {
            let refused = decoded(data);
            assert!(
                matches!(refused, Err(ImageDataError::Base64(_))),
                "{data}: {refused:?}"
            );
        }
        assert_eq!(decoded("data:image/png,abc"), Err(ImageDataError::DataUrl));
        for data in ["", "  ", r"\n", "data:image/png;base64,"] {
            assert_eq!(decoded(data), Err(ImageDataError::Empty), "{data:?}");
        }
    }

    #[test]
    fn an_error_names_the_place_in_the_whole() {
        let whole = "A".repeat(2 * BLOCK);
        for (more, error) in [
            ("!AAA", DecodeError::InvalidByte(2 * BLOCK, b'!')),
            ("AA!A", DecodeError::InvalidByte(2 * BLOCK + 2, b'!')),
            ("A", DecodeError::InvalidLength(2 * BLOCK + 1)),
            ("AB", DecodeError::InvalidLastSymbol(2 * BLOCK + 1, b'B')),
        ] {
            let refused = decoded(&(whole.clone() + more));
            assert_eq!(refused, Err(ImageDataError::Base64(error)), "{more}");
        }
        // Padding is wrong where more follows, at the end of a block too.
        let padded = "A".repeat(BLOCK - 1) + "=";
        assert!(decoded(&padded).is_ok());
        let refused = decoded(&(padded + "AAAA"));
        assert!(
            matches!(refused, Err(ImageDataError::Base64(_))),
            "{refused:?}"
        );
    }
}
