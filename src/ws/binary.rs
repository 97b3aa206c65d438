//! Binary messages: a short header in JSON, and the bytes that it describes.
//!
//! ```text
//! offset  size
//!      0     3  50 53 42, the letters PSB
//!      3     1  version: 1
//!      4     4  length of the header in bytes, u32, little endian
//!      8     n  the header: a JSON object in UTF-8; white space around it is ignored
//!  8 + n        the rest of the message: the bytes
//! ```

use bytes::Bytes;
use thiserror::Error;

/// The first bytes of every binary message.
const MAGIC: [u8; 3] = *b"PSB";
/// The version of this layout.
const VERSION: u8 = 1;
/// Bytes before the header.
const PREFIX: usize = 8;
/// Sent bytes begin at a multiple of this, as typed arrays of JavaScript need it.
const ALIGNMENT: usize = 8;

/// Why a binary message cannot be split.
#[derive(Debug, Error, PartialEq)]
pub enum BadBinary {
    #[error(
        "binary message does not begin with 50 53 42 (PSB), so it has no header; send images with \
         one, or as JSON text"
    )]
    Magic,
    #[error("binary message has version {0} of the header; known is version {VERSION}")]
    Version(u8),
    #[error("binary message of {0} bytes ends before its header, which begins at byte {PREFIX}")]
    Short(usize),
    #[error("binary message says that its header has {header} bytes, but only {rest} follow")]
    Truncated { header: usize, rest: usize },
    #[error("header of a binary message has {header} bytes; at most {longest} are taken")]
    LongHeader { header: usize, longest: usize },
    #[error("header of a binary message is not valid UTF-8")]
    NotUtf8,
}

/// Splits a message into its header of at most `longest` bytes and its bytes, without copying.
pub fn split(message: &Bytes, longest: usize) -> Result<(&str, Bytes), BadBinary> {
    let magic = message.get(..MAGIC.len()).ok_or(BadBinary::Magic)?;
    if magic != MAGIC {
        return Err(BadBinary::Magic);
    }
    match message.get(MAGIC.len()) {
        None | Some(&VERSION) => {}
        Some(&other) => return Err(BadBinary::Version(other)),
    }
    let (prefix, rest) = message
        .split_first_chunk::<PREFIX>()
        .ok_or(BadBinary::Short(message.len()))?;
    let [.., a, b, c, d] = *prefix;
    let header = u32::from_le_bytes([a, b, c, d]) as usize;
    if header > longest {
        return Err(BadBinary::LongHeader { header, longest });
    }
    let text = rest.get(..header).ok_or(BadBinary::Truncated {
        header,
        rest: rest.len(),
    })?;
    let text = std::str::from_utf8(text).map_err(|_| BadBinary::NotUtf8)?;
    Ok((text, message.slice(PREFIX + header..)))
}

/// All that is sent before a message's bytes: magic, version, length and the padded header.
pub fn preface(mut header: String) -> Bytes {
    while !(PREFIX + header.len()).is_multiple_of(ALIGNMENT) {
        header.push(' ');
    }
    // Headers are far below 4 GB: metadata of 1000 images has a few hundred kB.
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(PREFIX + header.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &[u8]) -> BadBinary {
        split(&Bytes::copy_from_slice(message), 100).expect_err("should be refused")
    }

    #[test]
    fn a_preface_and_bytes_are_split_again() {
        for length in 0..20 {
            let header = format!("\"{}\"", "x".repeat(length));
            let preface = preface(header.clone());
            assert_eq!(preface.len() % ALIGNMENT, 0);
            let message = Bytes::from([&preface, &b"\0bytes"[..]].concat());
            let (found, bytes) = split(&message, 100).expect("valid");
            assert_eq!(found.trim_end(), header);
            assert_eq!(bytes, b"\0bytes"[..]);
        }
    }

    #[test]
    fn a_header_needs_no_padding_and_a_message_no_bytes() {
        let message = Bytes::from_static(b"PSB\x01\x02\0\0\0{}");
        assert_eq!(split(&message, 2), Ok(("{}", Bytes::new())));
    }

    #[test]
    fn malformed_messages_are_refused_with_the_reason() {
        for other in [&b""[..], b"PS", b"\xff\xd8\xff\xe0....", b"psb\x01\0\0\0\0"] {
            assert_eq!(refusal(other), BadBinary::Magic, "{other:?}");
        }
        assert_eq!(refusal(b"PSB\x02\0\0\0\0"), BadBinary::Version(2));
        assert_eq!(refusal(b"PSB"), BadBinary::Short(3));
        assert_eq!(refusal(b"PSB\x01\0\0\0"), BadBinary::Short(7));
        assert_eq!(
            refusal(b"PSB\x01\x05\0\0\0{}"),
            BadBinary::Truncated { header: 5, rest: 2 }
        );
        assert_eq!(
            refusal(b"PSB\x01\xff\xff\xff\xff{}"),
            BadBinary::LongHeader {
                header: u32::MAX as usize,
                longest: 100
            }
        );
        assert_eq!(refusal(b"PSB\x01\x02\0\0\0\xc3\x28"), BadBinary::NotUtf8);
    }
}
