//! What clients receive: from events to WebSocket frames.
//!
//! A point cloud can be hundreds of megabytes as base64. So a message is cut into fragments that
//! are made only when the socket takes them: a result costs one fragment of memory beside the GLB
//! itself, which all connections share, and the frames of ping and pong get their turn in between.
//! Clients that ask for it get results as binary messages, whose fragments are views of the GLB.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pointstream_actors::{Answer, AnswerKind, MessageId, SessionEvent, SessionId, Stage};
use serde::Serialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use utoipa::ToSchema;

use super::binary;

/// Payload of one frame in bytes; a multiple of 4, so that base64 fills it.
pub const FRAGMENT: usize = 256 << 10;

/// The messages that are small.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message<'a> {
    /// The connection is part of the session now.
    Connected {
        #[schema(value_type = uuid::Uuid)]
        session_id: SessionId,
        image_count: u32,
        max_images: u32,
        /// Says that results come as binary messages, if they do.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        binary: Option<bool>,
    },
    /// An image was decoded and stored.
    Ack {
        image_count: u32,
        #[schema(value_type = uuid::Uuid)]
        session_id: SessionId,
        /// The client's name of the image, or the one that was made up.
        image_path: &'a str,
        /// What the client called the image's message, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<&'a str>,
    },
    /// A request has come this far.
    Progress {
        stage: Stage,
        /// Share of the whole request that is done, never falling.
        #[schema(minimum = 0, maximum = 1)]
        progress: f64,
        /// For people.
        message: &'a str,
    },
    /// A message could not be honoured, or the connection ends.
    Error {
        /// What was wrong and what would work.
        message: &'a str,
        /// What the client called the message that this answers, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<&'a str>,
        /// What the client called the image that this answers, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, max_length = 16384)]
        filename: Option<&'a str>,
    },
    /// The connection is alive.
    Pong {
        #[schema(value_type = uuid::Uuid)]
        session_id: SessionId,
    },
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultFrames {
    /// As JSON, the point cloud as base64 in it.
    Json,
    /// As binary messages: JSON without the point cloud, and the point cloud as it is.
    Binary,
}

/// One message, cut into frames on demand.
#[derive(Debug)]
pub struct Outgoing {
    frames: ResultFrames,
    /// What stands before the point cloud.
    head: Bytes,
    /// The point cloud, not encoded yet.
    glb: Bytes,
    /// JSON behind the point cloud.
    tail: Bytes,
    place: Place,
}

/// How far the frames of a message have been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Middle,
    End,
}

impl Outgoing {
    /// The message that tells a client of an event, if there is one: the end of a session has none
    /// of its own.
    ///
    /// # Errors
    /// If the event cannot be written as JSON.
    pub fn of(
        event: &SessionEvent,
        session_id: SessionId,
        results: ResultFrames,
    ) -> serde_json::Result<Option<Self>> {
        let message = match event {
            SessionEvent::Connected {
                image_count,
                max_images,
            } => Message::Connected {
                session_id,
                image_count: *image_count,
                max_images: *max_images,
                binary: (results == ResultFrames::Binary).then_some(true),
            },
            SessionEvent::Acknowledged {
                image_count,
                image_path,
                id,
            } => Message::Ack {
                image_count: *image_count,
                session_id,
                image_path,
                id: id.as_ref().map(MessageId::as_str),
            },
            SessionEvent::Progress(progress) => Message::Progress {
                stage: progress.stage,
                // More digits would be those of the rounding.
                progress: (f64::from(progress.fraction) * 1e4).round() / 1e4,
                message: &progress.message,
            },
            SessionEvent::Result { answer, id } => {
                return Self::result(answer, id.as_ref(), results).map(Some);
            }
            SessionEvent::Error {
                message,
                id,
                filename,
                ..
            } => Message::Error {
                message,
                id: id.as_ref().map(MessageId::as_str),
                filename: filename.as_deref(),
            },
            SessionEvent::Pong => Message::Pong { session_id },
            SessionEvent::Closed(_) => return Ok(None),
        };
        let json = serde_json::to_string(&message)?;
        Ok(Some(Self::plain(json)))
    }

    /// An error message that answers nothing.
    pub fn error(message: &str) -> Self {
        Self::plain(json!({ "type": "error", "message": message }).to_string())
    }

    fn plain(json: String) -> Self {
        Self {
            frames: ResultFrames::Json,
            head: json.into(),
            glb: Bytes::new(),
            tail: Bytes::new(),
            place: Place::Start,
        }
    }

    fn result(
        answer: &Answer,
        id: Option<&MessageId>,
        frames: ResultFrames,
    ) -> serde_json::Result<Self> {
        let kind = match answer.kind {
            AnswerKind::Delta => "delta",
            AnswerKind::Complete => "complete",
        };
        let metadata = serde_json::to_string(&*answer.metadata)?;
        let id = match id {
            Some(id) => format!(r#","id":{}"#, serde_json::to_string(id.as_str())?),
            None => String::new(),
        };
        let start = format!(
            r#"{{"type":"{kind}"{id},"image_count":{}"#,
            answer.image_count
        );
        let end = format!(r#""metadata":{metadata}}}"#);
        let (head, tail) = match frames {
            ResultFrames::Json => (
                format!(r#"{start},"glb_base64":""#).into(),
                format!(r#"",{end}"#).into(),
            ),
            ResultFrames::Binary => (binary::preface(format!("{start},{end}")), Bytes::new()),
        };
        Ok(Self {
            frames,
            head,
            glb: answer.glb.clone(),
            tail,
            place: Place::Start,
        })
    }

    /// The next fragment: of the head, the point cloud and the tail as much as fits.
    ///
    /// A fragment may end inside a character, as RFC 6455 allows.
    fn fragment(&mut self) -> Bytes {
        let plain = self.glb.is_empty() && self.tail.is_empty();
        if plain || self.frames == ResultFrames::Binary {
            let part = if self.head.is_empty() {
                &mut self.glb
            } else {
                &mut self.head
            };
            return part.split_to(part.len().min(FRAGMENT));
        }
        let mut fragment = Vec::with_capacity(FRAGMENT);
        move_part(&mut self.head, &mut fragment);
        // Always a multiple of 3 bytes but for the last part, or padding would get in between.
        let room = (FRAGMENT - fragment.len()) / 4 * 3;
        let part = self.glb.split_to(self.glb.len().min(room));
        let start = fragment.len();
        fragment.resize(FRAGMENT, 0);
        // The buffer holds four thirds of the part; zero bytes are written if it ever did not.
        let written = STANDARD
            .encode_slice(&part, &mut fragment[start..])
            .unwrap_or(0);
        fragment.truncate(start + written);
        if self.glb.is_empty() {
            move_part(&mut self.tail, &mut fragment);
        }
        fragment.into()
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.glb.is_empty() && self.tail.is_empty()
    }
}

/// Moves as much of a part as a fragment still takes.
fn move_part(part: &mut Bytes, fragment: &mut Vec<u8>) {
    let room = FRAGMENT - fragment.len();
    fragment.extend_from_slice(&part.split_to(part.len().min(room)));
}

impl Iterator for Outgoing {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let opcode = match self.place {
            Place::Start if self.frames == ResultFrames::Binary => Data::Binary,
            Place::Start => Data::Text,
            Place::Middle => Data::Continue,
            Place::End => return None,
        };
        let payload = self.fragment();
        let last = self.is_empty();
        self.place = if last { Place::End } else { Place::Middle };
        Some(Frame::message(payload, OpCode::Data(opcode), last))
    }
}

#[cfg(test)]
mod tests;
