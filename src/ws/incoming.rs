//! Messages from clients: their JSON format, and their conversion to requests of a session.

use std::borrow::Cow;
use std::ops::Range;
use std::str::Utf8Error;

use bytes::Bytes;
use pointstream_actors::{
    BadMessageId, BadName, ClientMessage, ClientMessageKind, ImageUpload, MessageId, OnCancelled,
    check_name,
};
use pointstream_reconstruction::model::{CameraDeviations, KnownCamera, KnownCameraError};
use pointstream_reconstruction::word_list;
use serde::Deserialize;
use serde_json::value::RawValue;
use strum::VariantArray;
use thiserror::Error;
use utoipa::ToSchema;

use super::binary::{self, BadBinary};
use super::field::{Field, Matrix, Nothing, WrongType};
use super::image_data::{self, ImageDataError};
use crate::payload::Payload;

/// Longest header of a binary message in bytes. The longest name fits, however it is escaped.
const MAX_HEADER: usize = 128 << 10;
/// Characters of a client's text that are repeated in an error.
const SHOWN: usize = 100;

/// Adds an image.
#[derive(Deserialize, ToSchema)]
pub struct ImageMessage<'a> {
    /// An image file (JPEG, PNG, WebP or HEIC) as base64, or a data URL of one.
    #[serde(borrow, default)]
    #[schema(value_type = String, required)]
    data: Option<&'a RawValue>,
    /// The client's name of the image; only a label.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, max_length = 1024)]
    filename: Field<Cow<'a, str>>,
    /// 3x3, camera coordinates to pixels of the image; (0, 0) is the centre of the top left
    /// pixel. Requires `extrinsics`.
    #[serde(default)]
    #[schema(value_type = Option<[[f64; 3]; 3]>)]
    intrinsics: Field<Matrix<3>>,
    /// 4x4, world to camera (x right, y down, z forward); all images share one world. Requires
    /// `intrinsics`.
    #[serde(default)]
    #[schema(value_type = Option<[[f64; 4]; 4]>)]
    extrinsics: Field<Matrix<4>>,
    /// Standard deviation of the camera's position along each axis, in the unit of `extrinsics`, which it
    /// requires.
    #[serde(default)]
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 1e9)]
    position_deviation: Field<f64>,
    /// Standard deviation of the camera's rotation about each axis, in degrees. Requires `extrinsics`.
    #[serde(default)]
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 180)]
    rotation_deviation: Field<f64>,
    /// The client's identifier of the message; its answers repeat it.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    id: Field<Cow<'a, str>>,
}

/// Asks for a point cloud of the images so far.
#[derive(Deserialize, ToSchema)]
pub struct GenerateMessage<'a> {
    /// Whether the answer is a `delta` rather than `complete`; false if it is missing.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    incremental: Field<bool>,
    /// The client's identifier of the message; its answers repeat it.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    id: Field<Cow<'a, str>>,
}

/// Asks for the final point cloud; only `ping`, `map`, `received` and `cancel` are accepted afterwards.
#[derive(Deserialize, ToSchema)]
pub struct FinalizeMessage<'a> {
    /// The client's identifier of the message; its answers repeat it.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    id: Field<Cow<'a, str>>,
}

/// Takes requests back. Each is answered with an error whose code is `cancelled`.
#[derive(Deserialize, ToSchema)]
pub struct CancelMessage<'a> {
    /// The identifier of the requests that end; all of the session if it is missing.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    id: Field<Cow<'a, str>>,
}

/// Asks for all poses as they are now.
#[derive(Deserialize, ToSchema)]
pub struct MapMessage<'a> {
    /// The client's identifier of the message; its answers repeat it.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    id: Field<Cow<'a, str>>,
}

/// Confirms a result; there is no answer unless the number is wrong. An update confirms those before it.
#[derive(Deserialize, ToSchema)]
pub struct ReceivedMessage<'a> {
    /// The `number` of a `delta` or `complete` that came on this connection.
    #[serde(default)]
    #[schema(value_type = u64, required)]
    number: Field<f64>,
    /// The client's identifier of the message; an error repeats it.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    id: Field<Cow<'a, str>>,
}

/// Asks whether the connection is alive.
#[derive(ToSchema)]
pub struct PingMessage {}

/// The types of messages that clients send.
pub fn known_kinds() -> impl Iterator<Item = ClientMessageKind> {
    let kinds = ClientMessageKind::VARIANTS.iter().copied();
    kinds.filter(|kind| *kind != ClientMessageKind::Invalid)
}

/// The types of messages for an error: `image, generate, ... and ping`.
fn list_of_kinds() -> String {
    word_list(known_kinds().map(<&str>::from), "and")
}

/// Why a message is refused.
#[derive(Debug, Error, PartialEq)]
enum BadMessage {
    #[error("message is not valid JSON: {0}")]
    NotJson(String),
    #[error("message must be a JSON object, but it is {0}")]
    NotAnObject(&'static str),
    #[error(transparent)]
    WrongType(#[from] WrongType),
    #[error(transparent)]
    ImageData(#[from] ImageDataError),
    #[error("message has no \"type\"; known types are {}", list_of_kinds())]
    NoType,
    #[error(
        "a string of {0} bytes has escapes; only \"data\" may be that long, all else has at most {MAX_HEADER} \
         bytes"
    )]
    LongString(usize),
    #[error("unknown type {0:?}; known types are {known}", known = list_of_kinds())]
    UnknownType(String),
    #[error("image message has no \"data\"; it holds the image file as base64")]
    NoData,
    #[error(
        "received message has no \"number\" of a result; send the \"number\" of the delta or complete that \
         you have, an integer above 0"
    )]
    BadNumber,
    #[error(transparent)]
    Id(#[from] BadMessageId),
    #[error(transparent)]
    Filename(#[from] BadName),
    #[error("\"intrinsics\" and \"extrinsics\" belong together; send both or neither")]
    HalfACamera,
    #[error(
        "\"position_deviation\" and \"rotation_deviation\" are those of a known camera; send \
         \"intrinsics\" and \"extrinsics\", too"
    )]
    DeviationsAlone,
    #[error(transparent)]
    Camera(#[from] KnownCameraError),
    #[error(transparent)]
    Binary(#[from] BadBinary),
    #[error("in the header of a binary message: {0}")]
    Header(Box<BadMessage>),
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

impl From<serde_json::Error> for BadMessage {
    fn from(error: serde_json::Error) -> Self {
        Self::NotJson(error.to_string())
    }
}

/// Reads a text message. Text outside the protocol gives an invalid message: the
/// session answers it with an error, in the order of the messages.
///
/// Takes time in proportion to the length of the text, and hardly more memory than the text has: an image
/// is decoded in its place.
///
/// # Errors
/// If the text is not valid UTF-8, which the protocol of WebSockets refuses.
pub fn parse(payload: Payload) -> Result<ClientMessage, Utf8Error> {
    let text = str::from_utf8(payload.as_ref())?;
    let labels = match check_strings(text).and_then(|()| Labels::read(text)) {
        Ok(labels) => labels,
        Err(error) => return Ok(invalid(error.to_string())),
    };
    let read = match read(labels.kind.clone(), text) {
        Ok(Read::Image(image, data)) => image_data::decode(payload, data)
            .map(|bytes| with_bytes(image, bytes.into()))
            .map_err(BadMessage::from),
        Ok(Read::Other(message)) => Ok(message),
        Err(error) => Err(error),
    };
    Ok(read.unwrap_or_else(|error| labels.invalid(&error)))
}

/// What a text message is.
enum Read {
    /// An image without its bytes, and where its data is in the text.
    Image(ImageUpload, Range<usize>),
    Other(ClientMessage),
}

fn with_bytes(image: ImageUpload, bytes: Bytes) -> ClientMessage {
    ClientMessage::Image(ImageUpload { bytes, ..image })
}

/// Reads a binary message: a header, which is short, and an image's bytes, which are not copied.
pub fn parse_binary(message: &Bytes) -> ClientMessage {
    let read = || {
        let (header, payload) = binary::split(message, MAX_HEADER)?;
        let labels = Labels::read(header).map_err(in_header)?;
        Ok((labels, header, payload))
    };
    match read() {
        Ok((labels, header, payload)) => read_binary(labels.kind.clone(), header, payload)
            .unwrap_or_else(|error| labels.invalid(&error)),
        Err::<_, BadMessage>(error) => invalid(error.to_string()),
    }
}

/// A message that cannot be read and has no labels.
pub fn invalid(reason: String) -> ClientMessage {
    ClientMessage::Invalid {
        reason,
        id: None,
        filename: None,
    }
}

/// The fields that identify a message. They are read first, so that the answer to an invalid
/// message can repeat them.
struct Labels {
    kind: Result<Option<Kind>, WrongType>,
    id: Option<MessageId>,
    filename: Option<String>,
}

/// The type of a message.
#[derive(Clone)]
enum Kind {
    Known(ClientMessageKind),
    /// The beginning of what is none.
    Unknown(String),
}

impl Labels {
    fn read(text: &str) -> Result<Self, BadMessage> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow, default, rename = "type")]
            kind: Field<Cow<'a, str>>,
            #[serde(borrow, default)]
            id: Field<Cow<'a, str>>,
            #[serde(borrow, default)]
            filename: Field<Cow<'a, str>>,
        }

        if !text.trim_start().starts_with('{') {
            let other: Field<Nothing> = serde_json::from_str(text)?;
            return Err(BadMessage::NotAnObject(match other {
                Field::Wrong(kind) => kind,
                Field::Missing | Field::Value(Nothing) => "null",
            }));
        }
        let fields: Fields<'_> = serde_json::from_str(text)?;
        let filename = fields.filename.value();
        let filename = filename.filter(|name| check_name(name).is_ok());
        Ok(Self {
            id: fields.id.value().and_then(|id| MessageId::new(id).ok()),
            filename: filename.map(|name| name.clone().into_owned()),
            kind: fields
                .kind
                .get("type")
                .map(|word| word.as_deref().map(Kind::of)),
        })
    }

    /// An invalid message with the labels that are valid.
    fn invalid(self, error: &BadMessage) -> ClientMessage {
        let is_image = matches!(self.kind, Ok(Some(Kind::Known(ClientMessageKind::Image))));
        ClientMessage::Invalid {
            reason: error.to_string(),
            id: self.id,
            filename: self.filename.filter(|_| is_image),
        }
    }
}

impl Kind {
    fn of(word: &str) -> Self {
        match known_kinds().find(|kind| word == <&str>::from(kind)) {
            Some(kind) => Self::Known(kind),
            None => Self::Unknown(word.chars().take(SHOWN).collect()),
        }
    }
}

/// Refuses long strings with escapes but that of `data`: to be read, they would have to be copied.
///
/// # Errors
/// [`BadMessage::LongString`]
fn check_strings(text: &str) -> Result<(), BadMessage> {
    if text.len() <= MAX_HEADER {
        return Ok(());
    }
    let bytes = text.as_bytes();
    let mut quote = memchr::memchr(b'"', bytes);
    while let Some(place) = quote {
        let start = place + 1;
        let (mut end, mut has_escapes) = (start, false);
        loop {
            let found = bytes
                .get(end..)
                .and_then(|rest| memchr::memchr2(b'"', b'\\', rest));
            let Some(length) = found else {
                // Not valid JSON.
                return Ok(());
            };
            end += length;
            if bytes[end] == b'"' {
                break;
            }
            has_escapes = true;
            // What a backslash is before belongs to it.
            end += 2;
        }
        if has_escapes && end - start > MAX_HEADER && !is_value_of_data(&text[..place]) {
            return Err(BadMessage::LongString(end - start));
        }
        let after = end + 1;
        quote = memchr::memchr(b'"', &bytes[after..]).map(|length| after + length);
    }
    Ok(())
}

/// Whether what comes after this is the value of `data`.
fn is_value_of_data(before: &str) -> bool {
    let key = before.trim_end().strip_suffix(':');
    key.is_some_and(|key| key.trim_end().ends_with("\"data\""))
}

fn read(kind: Result<Option<Kind>, WrongType>, text: &str) -> Result<Read, BadMessage> {
    let kind = match kind?.ok_or(BadMessage::NoType)? {
        Kind::Known(kind) => kind,
        Kind::Unknown(word) => return Err(BadMessage::UnknownType(word)),
    };
    Ok(Read::Other(match kind {
        ClientMessageKind::Image => {
            let message: ImageMessage<'_> = serde_json::from_str(text)?;
            let data = range_of_data(message.data, text)?;
            return Ok(Read::Image(image(message)?, data));
        }
        ClientMessageKind::Generate => {
            let message: GenerateMessage<'_> = serde_json::from_str(text)?;
            ClientMessage::Generate {
                incremental: message.incremental.get("incremental")?.unwrap_or(false),
                id: id(message.id)?,
            }
        }
        ClientMessageKind::Finalize => {
            let message: FinalizeMessage<'_> = serde_json::from_str(text)?;
            ClientMessage::Finalize {
                id: id(message.id)?,
            }
        }
        ClientMessageKind::Cancel => {
            let message: CancelMessage<'_> = serde_json::from_str(text)?;
            ClientMessage::Cancel {
                id: id(message.id)?,
                then: OnCancelled::default(),
            }
        }
        ClientMessageKind::Map => {
            let message: MapMessage<'_> = serde_json::from_str(text)?;
            ClientMessage::Map {
                id: id(message.id)?,
            }
        }
        ClientMessageKind::Received => {
            let message: ReceivedMessage<'_> = serde_json::from_str(text)?;
            let number = message.number.get("number")?;
            ClientMessage::Received {
                number: number
                    .and_then(result_number)
                    .ok_or(BadMessage::BadNumber)?,
                id: id(message.id)?,
            }
        }
        ClientMessageKind::Ping => ClientMessage::Ping,
        // No word names it.
        ClientMessageKind::Invalid => return Err(BadMessage::NoType),
    }))
}

fn read_binary(
    kind: Result<Option<Kind>, WrongType>,
    header: &str,
    payload: Bytes,
) -> Result<ClientMessage, BadMessage> {
    match kind.map_err(in_header)?.ok_or(BadMessage::NoBinaryType)? {
        Kind::Known(ClientMessageKind::Image) => {}
        Kind::Known(other) => return Err(BadMessage::NotBinary(<&str>::from(other).to_owned())),
        Kind::Unknown(word) => return Err(BadMessage::NotBinary(word)),
    }
    let message: ImageMessage<'_> = serde_json::from_str(header).map_err(in_header)?;
    if message.data.is_some() {
        return Err(BadMessage::DataInHeader);
    }
    let image = image(message)?;
    if payload.is_empty() {
        return Err(BadMessage::NoPayload);
    }
    Ok(with_bytes(image, payload))
}

/// Where the value of `data` is in the message, without its quotes.
fn range_of_data(data: Option<&RawValue>, text: &str) -> Result<Range<usize>, BadMessage> {
    let value = data.ok_or(BadMessage::NoData)?.get();
    if !value.starts_with('"') {
        let other: Field<Cow<'_, str>> = serde_json::from_str(value)?;
        other.get("data")?;
        return Err(BadMessage::NoData);
    }
    // It is a part of the text.
    let start = value.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    Ok(start + 1..(start + value.len()).saturating_sub(1))
}

fn in_header(error: impl Into<BadMessage>) -> BadMessage {
    BadMessage::Header(Box::new(error.into()))
}

/// An image without its bytes: decoding them takes the most time, so that all else is checked before.
fn image(message: ImageMessage<'_>) -> Result<ImageUpload, BadMessage> {
    let deviations = CameraDeviations::new(
        message.position_deviation.get("position_deviation")?,
        message.rotation_deviation.get("rotation_deviation")?,
    )?;
    let camera = camera(message.intrinsics, message.extrinsics, deviations)?;
    let name = message.filename.get("filename")?;
    name.as_deref().map(check_name).transpose()?;
    let id = id(message.id)?;
    Ok(ImageUpload {
        bytes: Bytes::new(),
        name: name.map(Cow::into_owned),
        camera,
        id,
    })
}

/// The number of a result. Numbers of JSON are exact up to 2^53.
fn result_number(number: f64) -> Option<u64> {
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    let is_number = number.fract() == 0.0 && (1.0..=EXACT).contains(&number);
    is_number.then_some(number as u64)
}

fn id(field: Field<Cow<'_, str>>) -> Result<Option<MessageId>, BadMessage> {
    let id = field.get("id")?;
    Ok(id.map(|id| MessageId::new(&id)).transpose()?)
}

/// The camera of an image, if the client sends both of its matrices.
fn camera(
    intrinsics: Field<Matrix<3>>,
    extrinsics: Field<Matrix<4>>,
    deviations: CameraDeviations,
) -> Result<Option<Box<KnownCamera>>, BadMessage> {
    match (intrinsics.get("intrinsics")?, extrinsics.get("extrinsics")?) {
        (None, None) if deviations == CameraDeviations::default() => Ok(None),
        (None, None) => Err(BadMessage::DeviationsAlone),
        (Some(intrinsics), Some(extrinsics)) => {
            let camera = KnownCamera::new(intrinsics, extrinsics)?;
            Ok(Some(Box::new(KnownCamera {
                deviations,
                ..camera
            })))
        }
        _ => Err(BadMessage::HalfACamera),
    }
}

#[cfg(test)]
mod tests;
