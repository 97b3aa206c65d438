//! What clients send: from text to messages.

use std::borrow::Cow;

use pointstream_actors::ClientMessage;
use thiserror::Error;

use super::fields::{Fields, FieldsError};
use super::image_data::{self, ImageDataError};

/// Longest name of an image in bytes. It is only a label, but every result repeats it.
const MAX_FILENAME: usize = 16 << 10;
/// Characters of a client's text that are repeated in an error.
const SHOWN: usize = 100;

/// What is wrong with a message.
#[derive(Debug, Error, PartialEq)]
enum BadMessage {
    #[error(transparent)]
    Fields(#[from] FieldsError),
    #[error(transparent)]
    ImageData(#[from] ImageDataError),
    #[error("message has no \"type\"; known types are image, generate, finalize and ping")]
    NoType,
    #[error("unknown type {0:?}; known types are image, generate, finalize and ping")]
    UnknownType(String),
    #[error("image message has no \"data\"; it holds the image file as base64")]
    NoData,
    #[error("\"filename\" is longer than {MAX_FILENAME} bytes")]
    LongFilename,
}

/// Reads a text message. What is no message of the protocol becomes an invalid one, which is
/// answered in its turn.
///
/// Takes time in proportion to the length of the text.
pub fn parse(text: &str) -> ClientMessage {
    read(text).unwrap_or_else(|error| invalid(error.to_string()))
}

/// What a binary message becomes.
pub fn binary() -> ClientMessage {
    invalid("binary messages are not part of the protocol; send JSON as text".to_owned())
}

fn invalid(reason: String) -> ClientMessage {
    ClientMessage::Invalid { reason }
}

fn read(text: &str) -> Result<ClientMessage, BadMessage> {
    let mut fields = Fields::read(text)?;
    match std::mem::take(&mut fields.kind).string("type")?.as_deref() {
        None => Err(BadMessage::NoType),
        Some("image") => image(fields),
        Some("generate") => Ok(ClientMessage::Generate {
            incremental: fields.incremental.boolean("incremental")?.unwrap_or(true),
        }),
        Some("finalize") => Ok(ClientMessage::Finalize),
        Some("ping") => Ok(ClientMessage::Ping),
        Some(other) => Err(BadMessage::UnknownType(other.chars().take(SHOWN).collect())),
    }
}

fn image(fields: Fields<'_>) -> Result<ClientMessage, BadMessage> {
    let data = fields.data.string("data")?.ok_or(BadMessage::NoData)?;
    let name = fields.filename.string("filename")?;
    if name.as_ref().is_some_and(|name| name.len() > MAX_FILENAME) {
        return Err(BadMessage::LongFilename);
    }
    Ok(ClientMessage::Image {
        bytes: image_data::decode(&data)?,
        name: name.map(Cow::into_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        match parse(text) {
            ClientMessage::Invalid { reason } => reason,
            other => panic!("{other:?} should be invalid"),
        }
    }

    fn image_of(text: &str) -> (Vec<u8>, Option<String>) {
        match parse(text) {
            ClientMessage::Image { bytes, name } => (bytes, name),
            other => panic!("{other:?} should be an image"),
        }
    }

    #[test]
    fn reads_an_image() {
        let (bytes, name) =
            image_of(r#"{"type": "image", "data": "aGVsbG8=", "filename": "image_001.png"}"#);
        assert_eq!(bytes, b"hello");
        assert_eq!(name.as_deref(), Some("image_001.png"));
    }

    #[test]
    fn an_image_needs_no_name() {
        assert_eq!(image_of(r#"{"type": "image", "data": "aGVsbG8="}"#).1, None);
        assert_eq!(
            image_of(r#"{"type": "image", "data": "aGVsbG8=", "filename": null}"#).1,
            None
        );
    }

    #[test]
    fn names_are_taken_as_they_are() {
        for name in [
            "../../etc/passwd",
            "/abs",
            "",
            "ß\u{1F600}\\n",
            &"n".repeat(4096),
        ] {
            let message =
                serde_json::json!({"type": "image", "data": "aGVsbG8=", "filename": name});
            assert_eq!(image_of(&message.to_string()).1.as_deref(), Some(name));
        }
    }

    #[test]
    fn generate_is_incremental_unless_told_otherwise() {
        for (text, expected) in [
            (r#"{"type": "generate"}"#, true),
            (r#"{"type": "generate", "incremental": null}"#, true),
            (r#"{"type": "generate", "incremental": true}"#, true),
            (r#"{"incremental": false, "type": "generate"}"#, false),
        ] {
            match parse(text) {
                ClientMessage::Generate { incremental } => assert_eq!(incremental, expected),
                other => panic!("{other:?} should be generate"),
            }
        }
    }

    #[test]
    fn reads_finalize_and_ping_with_fields_unknown_to_it() {
        assert!(matches!(
            parse(r#"{"type": "finalize"}"#),
            ClientMessage::Finalize
        ));
        assert!(matches!(
            parse(r#" {"type":"ping","t":[1,{"a":2}]}"#),
            ClientMessage::Ping
        ));
    }

    #[test]
    fn says_that_it_is_no_json() {
        for text in [
            "",
            "hello",
            "{",
            r#"{"type": "ping"} x"#,
            "{'type': 'ping'}",
        ] {
            assert!(
                reason(text).starts_with("message is not valid JSON: "),
                "{text}"
            );
        }
        let deep = format!("{{\"type\":{}", "[".repeat(100_000));
        assert!(reason(&deep).starts_with("message is not valid JSON: "));
    }

    #[test]
    fn says_that_it_is_no_object() {
        for (text, kind) in [
            ("null", "null"),
            ("1.5", "a number"),
            ("-1", "a number"),
            ("true", "a boolean"),
            ("\"ping\"", "a string"),
            ("[\"image\", \"aGVsbG8=\"]", "an array"),
        ] {
            assert_eq!(
                reason(text),
                format!("message must be a JSON object, but it is {kind}")
            );
        }
    }

    #[test]
    fn names_the_type_and_those_there_are() {
        assert!(reason("{}").starts_with("message has no \"type\""));
        let unknown = reason(r#"{"type": "Image"}"#);
        assert_eq!(
            unknown,
            "unknown type \"Image\"; known types are image, generate, finalize and ping"
        );
        assert!(reason(&format!(r#"{{"type": "{}"}}"#, "x".repeat(10_000))).len() < 250);
    }

    #[test]
    fn names_the_field_that_is_missing_or_wrong() {
        assert!(reason(r#"{"type": "image"}"#).starts_with("image message has no \"data\""));
        for (text, expected) in [
            (
                r#"{"type": 1}"#,
                "\"type\" must be a string, but it is a number",
            ),
            (
                r#"{"type": "image", "data": ["a"]}"#,
                "\"data\" must be a string, but it is an array",
            ),
            (
                r#"{"type": "image", "data": "aGVsbG8=", "filename": {"a": 1}}"#,
                "\"filename\" must be a string, but it is an object",
            ),
            (
                r#"{"type": "generate", "incremental": "yes"}"#,
                "\"incremental\" must be true or false, but it is a string",
            ),
        ] {
            assert_eq!(reason(text), expected);
        }
        assert!(reason(r#"{"type": "ping", "type": "ping"}"#).contains("duplicate field"));
    }

    #[test]
    fn a_name_has_an_end() {
        let text = format!(
            r#"{{"type": "image", "data": "aGVsbG8=", "filename": "{}"}}"#,
            "n".repeat(MAX_FILENAME + 1)
        );
        assert_eq!(reason(&text), "\"filename\" is longer than 16384 bytes");
    }
}
