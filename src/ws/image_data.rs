//! The `data` of an image message: a file as base64.

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine, alphabet};
use thiserror::Error;

/// Standard base64 with optional padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why `data` has no file.
#[derive(Debug, Error, PartialEq)]
pub enum ImageDataError {
    #[error("\"data\" is empty; send an image file as base64")]
    Empty,
    #[error("\"data\" is a data URL without \";base64,\"")]
    DataUrl,
    #[error("\"data\" is not valid base64: {0}")]
    Base64(DecodeError),
}

/// Decodes base64, bare or as a data URL, with or without padding and line breaks.
pub fn decode(data: &str) -> Result<Vec<u8>, ImageDataError> {
    let encoded = match data.trim_start().strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").ok_or(ImageDataError::DataUrl)?.1,
        None => data,
    };
    let bytes = match BASE64.decode(encoded) {
        // A copy without white space is made only if there is any.
        Err(DecodeError::InvalidByte(_, byte)) if byte.is_ascii_whitespace() => {
            let mut dense = encoded.to_owned();
            dense.retain(|character| !character.is_ascii_whitespace());
            BASE64.decode(dense)
        }
        other => other,
    }
    .map_err(ImageDataError::Base64)?;
    if bytes.is_empty() {
        return Err(ImageDataError::Empty);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_comes_in_several_shapes() {
        for data in [
            "aGVsbG8=",
            "aGVsbG8",
            "aGVs\nbG8=\r\n",
            " aGVsbG8=",
            "data:image/png;base64,aGVsbG8=",
            "data:image/png;name=a;base64,aGVsbG8",
        ] {
            assert_eq!(decode(data).as_deref(), Ok(&b"hello"[..]), "{data}");
        }
    }

    #[test]
    fn invalid_data_is_refused() {
        for data in [
            "%%%",
            "a",
            "aGVsbG8==x",
            "____",
            "=",
            "data:image/png;base64,?",
        ] {
            let refused = decode(data);
            assert!(
                matches!(refused, Err(ImageDataError::Base64(_))),
                "{data}: {refused:?}"
            );
        }
        assert_eq!(decode("data:image/png,abc"), Err(ImageDataError::DataUrl));
        for data in ["", "  ", "data:image/png;base64,"] {
            assert_eq!(decode(data), Err(ImageDataError::Empty), "{data:?}");
        }
    }
}
