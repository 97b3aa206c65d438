//! The fields of a message, whatever their types, so that an error can name them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

/// Why a text has no such fields.
#[derive(Debug, Error, PartialEq)]
pub enum FieldsError {
    #[error("message is not valid JSON: {0}")]
    NotJson(String),
    #[error("message must be a JSON object, but it is {0}")]
    NotAnObject(&'static str),
    #[error("\"{field}\" must be {expected}, but it is {found}")]
    WrongType {
        field: &'static str,
        expected: &'static str,
        found: &'static str,
    },
}

/// The fields that any message has. Others are ignored.
#[derive(Default, Deserialize)]
pub struct Fields<'a> {
    #[serde(borrow, default, rename = "type")]
    pub kind: Field<'a>,
    #[serde(borrow, default)]
    pub id: Field<'a>,
    #[serde(borrow, default)]
    pub data: Field<'a>,
    #[serde(borrow, default)]
    pub filename: Field<'a>,
    #[serde(borrow, default)]
    pub incremental: Field<'a>,
    #[serde(borrow, default)]
    pub intrinsics: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub extrinsics: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Finds them in a message.
    pub fn read(text: &'a str) -> Result<Self, FieldsError> {
        let not_json = |error: serde_json::Error| FieldsError::NotJson(error.to_string());
        if text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map_err(not_json);
        }
        let other: Field<'_> = serde_json::from_str(text).map_err(not_json)?;
        Err(FieldsError::NotAnObject(other.kind()))
    }
}

/// A matrix of so many rows, if there is one.
pub fn matrix<T: DeserializeOwned>(
    value: Option<&RawValue>,
    field: &'static str,
    expected: &'static str,
) -> Result<Option<T>, FieldsError> {
    let Some(value) = value else {
        return Ok(None);
    };
    serde_json::from_str(value.get()).map(Some).map_err(|_| {
        // Anything that stands in valid JSON can be named.
        let found = serde_json::from_str::<Field<'_>>(value.get());
        FieldsError::WrongType {
            field,
            expected,
            found: found.map_or("something else", |found| match found {
                Field::Array => "another array",
                other => other.kind(),
            }),
        }
    })
}

/// The value of a field, whatever its type, so that an error can name it.
#[derive(Default)]
pub enum Field<'a> {
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

    /// Whether there is nothing; null is as good as missing.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing | Self::Null)
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A string; null is as good as missing.
    pub fn string(self, field: &'static str) -> Result<Option<Cow<'a, str>>, FieldsError> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            other => Err(FieldsError::WrongType {
                field,
                expected: "a string",
                found: other.kind(),
            }),
        }
    }

    /// A boolean; null is as good as missing.
    pub fn boolean(self, field: &'static str) -> Result<Option<bool>, FieldsError> {
        match self {
            Self::Missing | Self::Null => Ok(None),
            Self::Boolean(value) => Ok(Some(value)),
            other => Err(FieldsError::WrongType {
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
