//! What clients send: from text to messages.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use pointstream_actors::ClientMessage;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// Longest name of an image in bytes. It is only a label, but every result repeats it.
const MAX_FILENAME: usize = 16 << 10;
/// Characters of a client's text that are repeated in an error.
const SHOWN: usize = 100;

/// Standard base64; padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is wrong with a message.
#[derive(Debug, Error, PartialEq)]
enum BadMessage {
    #[error("message is not valid JSON: {0}")]
    NotJson(String),
    #[error("message must be a JSON object, but it is {0}")]
    NotAnObject(&'static str),
    #[error("message has no \"type\"; known types are image, generate, finalize and ping")]
    NoType,
    #[error("unknown type {0:?}; known types are image, generate, finalize and ping")]
    UnknownType(String),
    #[error("{kind} message has no \"{field}\"; {expected}")]
    Missing {
        kind: &'static str,
        field: &'static str,
        expected: &'static str,
    },
    #[error("\"{field}\" must be {expected}, but it is {found}")]
    WrongType {
        field: &'static str,
        expected: &'static str,
        found: &'static str,
    },
    #[error("\"filename\" is longer than {MAX_FILENAME} bytes")]
    LongFilename,
    #[error("\"data\" is empty; send an image file as base64")]
    Empty,
    #[error("\"data\" is a data URL without \";base64,\"")]
    DataUrl,
    #[error("\"data\" is not valid base64: {0}")]
    Base64(base64::DecodeError),
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
    let mut fields = fields(text)?;
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
    let data = fields.data.string("data")?.ok_or(BadMessage::Missing {
        kind: "image",
        field: "data",
        expected: "it holds the image file as base64",
    })?;
    let name = fields.filename.string("filename")?;
    if name.as_ref().is_some_and(|name| name.len() > MAX_FILENAME) {
        return Err(BadMessage::LongFilename);
    }
    Ok(ClientMessage::Image {
        bytes: decode(&data)?,
        name: name.map(Cow::into_owned),
    })
}

/// Decodes base64, bare or as a data URL, with or without padding and line breaks.
fn decode(data: &str) -> Result<Vec<u8>, BadMessage> {
    let encoded = match data.trim_start().strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").ok_or(BadMessage::DataUrl)?.1,
        None => data,
    };
    let bytes = match BASE64.decode(encoded) {
        // Only then is a second copy without white space worth its while.
        Err(base64::DecodeError::InvalidByte(_, byte)) if byte.is_ascii_whitespace() => {
            let mut dense = encoded.to_owned();
            dense.retain(|character| !character.is_ascii_whitespace());
            BASE64.decode(dense)
        }
        other => other,
    }
    .map_err(BadMessage::Base64)?;
    if bytes.is_empty() {
        return Err(BadMessage::Empty);
    }
    Ok(bytes)
}

/// The fields that any message has. Others are ignored.
#[derive(Default, Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    data: Field<'a>,
    #[serde(borrow, default)]
    filename: Field<'a>,
    #[serde(borrow, default)]
    incremental: Field<'a>,
}

fn fields(text: &str) -> Result<Fields<'_>, BadMessage> {
    let not_json = |error: serde_json::Error| BadMessage::NotJson(error.to_string());
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(not_json);
    }
    let other: Field<'_> = serde_json::from_str(text).map_err(not_json)?;
    Err(BadMessage::NotAnObject(other.kind()))
}

/// The value of a field, whatever its type, so that an error can name it.
#[derive(Default)]
enum Field<'a> {
    #[default]
    Missing,
    Null,
    Text(Cow<'a, str>),
    Boolean(bool),
    Number,
    Array,
    Object,
}

impl<'a> Field<'a> {
    /// Its type, with the article.
    fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Boolean(_) => "a boolean",
            Self::Number => "a number",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }

    /// A string; null is as good as missing.
    fn string(self, field: &'static str) -> Result<Option<Cow<'a, str>>, BadMessage> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            other => Err(BadMessage::WrongType {
                field,
                expected: "a string",
                found: other.kind(),
            }),
        }
    }

    /// A boolean; null is as good as missing.
    fn boolean(self, field: &'static str) -> Result<Option<bool>, BadMessage> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Boolean(value) => Ok(Some(value)),
            other => Err(BadMessage::WrongType {
                field,
                expected: "true or false",
                found: other.kind(),
            }),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    /// The usual case: a slice of the message, not copied.
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text)))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Number)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::Number)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Number)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Object)
    }
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
    fn base64_comes_in_several_shapes() {
        for data in [
            "aGVsbG8=",
            "aGVsbG8",
            "aGVs\\nbG8=\\r\\n",
            "data:image/png;base64,aGVsbG8=",
            "data:image/png;name=a;base64,aGVsbG8=",
            "aGVsbG8\\u003d",
        ] {
            let text = format!(r#"{{"type": "image", "data": "{data}"}}"#);
            assert_eq!(image_of(&text).0, b"hello", "{data}");
        }
    }

    #[test]
    fn refuses_base64_rubbish() {
        for data in [
            "%%%",
            "a",
            "aGVsbG8==x",
            "____",
            "data:image/png,abc",
            "",
            "  ",
            "=",
        ] {
            let text = format!(r#"{{"type": "image", "data": "{data}"}}"#);
            assert!(
                reason(&text).starts_with("\"data\" is "),
                "{data}: {}",
                reason(&text)
            );
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
