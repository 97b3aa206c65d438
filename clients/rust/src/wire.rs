//! Messages of the socket as text and as binary frames.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::Message;

use crate::error::Error;

/// The start of a binary message: three letters, and the version of the layout.
const MAGIC: &[u8] = b"PSB\x01";

/// A message of the server.
pub(crate) struct Received {
    pub kind: String,
    pub fields: Map<String, Value>,
    /// The bytes of a point cloud.
    pub glb: Option<Bytes>,
}

/// A message that has a file, or none.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub header: Map<String, Value>,
    pub data: Option<Bytes>,
}

impl Outgoing {
    pub fn encode(mut self, binary: bool) -> Message {
        let Some(data) = self.data else {
            return text(self.header);
        };
        if !binary {
            let data = STANDARD.encode(&data);
            self.header.insert("data".to_owned(), data.into());
            return text(self.header);
        }
        let header = Value::Object(self.header).to_string();
        let mut frame = BytesMut::with_capacity(8 + header.len() + data.len());
        frame.put_slice(MAGIC);
        // A header has a name and a camera: it is far below 4 GiB.
        frame.put_u32_le(header.len() as u32);
        frame.put_slice(header.as_bytes());
        frame.put_slice(&data);
        Message::Binary(frame.freeze())
    }
}

pub(crate) fn text(message: impl Into<Value>) -> Message {
    Message::text(message.into().to_string())
}

/// A text or binary message of the server.
pub(crate) fn decode(message: Message) -> Result<Received, Error> {
    let (parsed, mut glb) = match message {
        Message::Binary(mut frame) => {
            if frame.len() < 8 || frame.split_to(4) != MAGIC {
                return Err(none("not a binary message of layout 1"));
            }
            let length = frame.get_u32_le() as usize;
            if length > frame.len() {
                return Err(none("the header goes beyond the end"));
            }
            (serde_json::from_slice(&frame.split_to(length)), Some(frame))
        }
        Message::Text(text) => (serde_json::from_str(&text), None),
        _ => return Err(none("neither text nor bytes")),
    };
    let mut fields: Map<String, Value> = parsed.map_err(|error| none(&error.to_string()))?;
    let Some(Value::String(kind)) = fields.remove("type") else {
        return Err(none("not an object with a type"));
    };
    if let (None, Some(Value::String(encoded))) = (&glb, fields.remove("glb_base64")) {
        let decoded = STANDARD.decode(encoded);
        glb = Some(decoded.map_err(|error| none(&error.to_string()))?.into());
    }
    Ok(Received { kind, fields, glb })
}

fn none(reason: &str) -> Error {
    Error::InvalidResponse(format!(
        "the server sent something that is no message of the protocol ({reason})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Outgoing {
        let header = serde_json::json!({"type": "image", "id": "a"});
        Outgoing {
            header: header.as_object().unwrap().clone(),
            data: Some(Bytes::from_static(b"one")),
        }
    }

    #[test]
    fn images_are_text_or_binary() {
        let Message::Text(text) = image().encode(false) else {
            panic!("no text");
        };
        let fields: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(fields["data"], "b25l");
        let Message::Binary(frame) = image().encode(true) else {
            panic!("not binary");
        };
        assert!(frame.starts_with(b"PSB\x01") && frame.ends_with(b"}one"));
    }

    #[test]
    fn both_kinds_of_results_are_read() {
        let text = r#"{"type": "delta", "number": 1, "glb_base64": "b25l"}"#;
        let received = decode(Message::text(text)).unwrap();
        assert_eq!(received.kind, "delta");
        assert_eq!(received.glb.unwrap(), &b"one"[..]);
        assert!(!received.fields.contains_key("glb_base64"));
        let received = decode(image().encode(true)).unwrap();
        assert_eq!(received.glb.unwrap(), &b"one"[..]);
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type": 1}"#,
            r#"{"type": "delta", "glb_base64": "?"}"#,
        ] {
            assert!(decode(Message::text(text)).is_err(), "{text}");
        }
        for frame in [
            &b"PSB"[..],
            b"PSB\x02\0\0\0\0",
            b"PSB\x01\xff\0\0\0{}",
            b"PSB\x01\x02\0\0\0[]",
        ] {
            let frame = Bytes::copy_from_slice(frame);
            assert!(decode(Message::Binary(frame.clone())).is_err(), "{frame:?}");
        }
    }
}
