//! What clients send: from text to messages.

use std::borrow::Cow;

use bytes::Bytes;
use pointstream_actors::{BadMessageId, ClientMessage, LongName, MessageId, check_name};
use pointstream_reconstruction::model::{KnownCamera, KnownCameraError};
use serde_json::value::RawValue;
use thiserror::Error;

use super::binary::{self, BadBinary};
use super::fields::{Field, Fields, FieldsError, matrix};
use super::image_data::{self, ImageDataError};

/// Longest header of a binary message in bytes. The longest name fits, however it is escaped.
const MAX_HEADER: usize = 128 << 10;
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
    #[error(transparent)]
    Id(#[from] BadMessageId),
    #[error(transparent)]
    Filename(#[from] LongName),
    #[error("\"intrinsics\" and \"extrinsics\" belong together; send both or neither")]
    HalfACamera,
    #[error(transparent)]
    Camera(#[from] KnownCameraError),
    #[error(transparent)]
    Binary(#[from] BadBinary),
    #[error("in the header of a binary message: {0}")]
    Header(FieldsError),
    #[error("the header of a binary message has no \"type\"; it says \"image\"")]
    NoBinaryType,
    #[error("binary messages are images; send {0:?} as JSON text")]
    NotBinary(String),
    #[error(
        "\"data\" has no place in the header of a binary message; the image's bytes follow the header"
    )]
    DataInHeader,
    #[error("binary message has no bytes of an image after its header")]
    NoPayload,
}

/// Reads a text message. What is no message of the protocol becomes an invalid one, which is
/// answered in its turn.
///
/// Takes time in proportion to the length of the text.
pub fn parse(text: &str) -> ClientMessage {
    match Fields::read(text) {
        Ok(fields) => understand(fields, read),
        Err(error) => invalid(error.to_string()),
    }
}

/// Reads a binary message: a header, which is short, and an image's bytes, which are not copied.
pub fn parse_binary(message: &Bytes) -> ClientMessage {
    let parts = binary::split(message, MAX_HEADER).map_err(BadMessage::from);
    let fields = parts.and_then(|(header, payload)| {
        let fields = Fields::read(header).map_err(BadMessage::Header)?;
        Ok((fields, payload))
    });
    match fields {
        Ok((fields, payload)) => understand(fields, |fields| read_binary(fields, payload)),
        Err(error) => invalid(error.to_string()),
    }
}

/// A message that nobody understands.
pub fn invalid(reason: String) -> ClientMessage {
    ClientMessage::Invalid {
        reason,
        id: None,
        filename: None,
    }
}

/// Reads a message from its fields. What becomes an invalid one keeps its names, so that the client
/// knows which one the error is about.
fn understand<'a>(
    fields: Fields<'a>,
    read: impl FnOnce(Fields<'a>) -> Result<ClientMessage, BadMessage>,
) -> ClientMessage {
    let id = fields.id.text().and_then(|id| MessageId::new(id).ok());
    let named = fields
        .filename
        .text()
        .filter(|name| fields.kind.text() == Some("image") && check_name(name).is_ok());
    let filename = named.map(str::to_owned);
    read(fields).unwrap_or_else(|error| ClientMessage::Invalid {
        reason: error.to_string(),
        id,
        filename,
    })
}

fn read(mut fields: Fields<'_>) -> Result<ClientMessage, BadMessage> {
    match std::mem::take(&mut fields.kind).string("type")?.as_deref() {
        None => Err(BadMessage::NoType),
        Some("image") => image(fields),
        Some("generate") => Ok(ClientMessage::Generate {
            incremental: fields.incremental.boolean("incremental")?.unwrap_or(true),
            id: id(fields.id)?,
        }),
        Some("finalize") => Ok(ClientMessage::Finalize { id: id(fields.id)? }),
        Some("ping") => Ok(ClientMessage::Ping),
        Some(other) => Err(BadMessage::UnknownType(other.chars().take(SHOWN).collect())),
    }
}

fn image(fields: Fields<'_>) -> Result<ClientMessage, BadMessage> {
    let data = fields.data.string("data")?.ok_or(BadMessage::NoData)?;
    let camera = camera(fields.intrinsics, fields.extrinsics)?;
    let name = filename(fields.filename)?;
    let id = id(fields.id)?;
    Ok(ClientMessage::Image {
        bytes: image_data::decode(&data)?.into(),
        name,
        camera,
        id,
    })
}

fn id(field: Field<'_>) -> Result<Option<MessageId>, BadMessage> {
    let id = field.string("id")?;
    Ok(id.map(|id| MessageId::new(&id)).transpose()?)
}

/// The camera that a client knows of its image: both matrices or neither.
fn camera(
    intrinsics: Option<&RawValue>,
    extrinsics: Option<&RawValue>,
) -> Result<Option<Box<KnownCamera>>, BadMessage> {
    let intrinsics = matrix(intrinsics, "intrinsics", "3 rows of 3 numbers")?;
    let extrinsics = matrix(extrinsics, "extrinsics", "4 rows of 4 numbers")?;
    match (intrinsics, extrinsics) {
        (None, None) => Ok(None),
        (Some(intrinsics), Some(extrinsics)) => {
            let camera = KnownCamera::new(intrinsics, extrinsics)?;
            Ok(Some(Box::new(camera)))
        }
        _ => Err(BadMessage::HalfACamera),
    }
}

fn filename(field: Field<'_>) -> Result<Option<String>, BadMessage> {
    let name = field.string("filename")?;
    name.as_deref().map(check_name).transpose()?;
    Ok(name.map(Cow::into_owned))
}

fn read_binary(fields: Fields<'_>, payload: Bytes) -> Result<ClientMessage, BadMessage> {
    let kind = fields.kind.string("type").map_err(BadMessage::Header)?;
    match kind.as_deref() {
        None => return Err(BadMessage::NoBinaryType),
        Some("image") => {}
        Some(other) => {
            let shown = other.chars().take(SHOWN).collect();
            return Err(BadMessage::NotBinary(shown));
        }
    }
    if !fields.data.is_missing() {
        return Err(BadMessage::DataInHeader);
    }
    let camera = camera(fields.intrinsics, fields.extrinsics)?;
    let name = filename(fields.filename)?;
    let id = id(fields.id)?;
    if payload.is_empty() {
        return Err(BadMessage::NoPayload);
    }
    Ok(ClientMessage::Image {
        bytes: payload,
        name,
        camera,
        id,
    })
}

#[cfg(test)]
mod tests;
