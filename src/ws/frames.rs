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
mod tests {
    use std::sync::Arc;

    use pointstream_actors::{ErrorKind, PointOptions, Progress, ResultMetadata, Timings};
    use pointstream_reconstruction::cloud::Alignment;
    use pointstream_reconstruction::model::Scale;
    use serde_json::Value;

    use super::*;

    /// Puts frames together as a client does, and checks that they are well formed.
    fn receive(message: Outgoing, first: Data) -> Bytes {
        let frames: Vec<Frame> = message.collect();
        let mut bytes = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            let header = frame.header();
            let opcode = if index == 0 { first } else { Data::Continue };
            assert_eq!(header.opcode, OpCode::Data(opcode));
            assert_eq!(header.is_final, index + 1 == frames.len());
            assert!(frame.payload().len() <= FRAGMENT);
            bytes.extend_from_slice(frame.payload());
        }
        bytes.into()
    }

    fn outgoing(event: &SessionEvent, results: ResultFrames) -> Outgoing {
        Outgoing::of(event, SessionId::nil(), results)
            .expect("valid")
            .expect("a message")
    }

    fn message(event: &SessionEvent) -> Value {
        let bytes = receive(outgoing(event, ResultFrames::Json), Data::Text);
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn answer(glb: Vec<u8>, frames: usize) -> SessionEvent {
        let metadata = ResultMetadata {
            num_frames: frames,
            session_id: SessionId::nil(),
            glb_size_bytes: glb.len(),
            intrinsics: vec![[[1.0, 0.0, 0.5]; 3]; frames],
            extrinsics: vec![[[0.0, 1.0, 0.0, 0.25]; 4]; frames],
            world_to_glb: [[1.0; 4]; 4],
            processed_size: [504, 378],
            frames: (0..frames).map(|index| format!("ф{index}.jpg")).collect(),
            unregistered_frames: Vec::new(),
            num_points: 7,
            confidence_threshold: 1.05,
            aligned: true,
            known_cameras: false,
            alignment: Alignment::Origin,
            scale: Scale::Relative,
            model: "mvs 1".to_owned(),
            options: PointOptions::default(),
            timings: Timings::default(),
        };
        SessionEvent::Result {
            answer: Arc::new(Answer {
                number: 1,
                kind: AnswerKind::Delta,
                image_count: 5,
                glb: glb.into(),
                metadata: Arc::new(metadata),
            }),
            id: MessageId::new("a\"b").ok(),
        }
    }

    #[test]
    fn small_events_have_the_protocols_fields() {
        let id = SessionId::nil().to_string();
        let cases = [
            (
                SessionEvent::Connected {
                    image_count: 0,
                    max_images: 100,
                },
                json!({"type": "connected", "session_id": id, "image_count": 0, "max_images": 100}),
            ),
            (
                SessionEvent::Acknowledged {
                    image_count: 5,
                    image_path: "a\"b.png".to_owned(),
                    id: None,
                },
                json!({
                    "type": "ack", "image_count": 5, "session_id": id, "image_path": "a\"b.png",
                }),
            ),
            (
                SessionEvent::Progress(Progress {
                    stage: Stage::Inference,
                    fraction: 0.1,
                    message: "Processing frame 5/10".to_owned(),
                }),
                json!({
                    "type": "progress", "stage": "inference", "progress": 0.1,
                    "message": "Processing frame 5/10",
                }),
            ),
            (
                SessionEvent::Error {
                    kind: ErrorKind::Model,
                    message: "no".to_owned(),
                    id: None,
                    filename: None,
                },
                json!({"type": "error", "message": "no"}),
            ),
            (
                SessionEvent::Error {
                    kind: ErrorKind::Image,
                    message: "no".to_owned(),
                    id: MessageId::new("7").ok(),
                    filename: Some("a.png".to_owned()),
                },
                json!({"type": "error", "message": "no", "id": "7", "filename": "a.png"}),
            ),
            (
                SessionEvent::Pong,
                json!({"type": "pong", "session_id": id}),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(message(&event), expected);
        }
    }

    #[test]
    fn the_end_of_a_session_is_no_message() {
        let event = SessionEvent::Closed(pointstream_actors::CloseReason::Deleted);
        assert!(
            Outgoing::of(&event, SessionId::nil(), ResultFrames::Json)
                .expect("valid")
                .is_none()
        );
    }

    #[test]
    fn a_result_survives_being_cut_at_any_length() {
        // Around the borders of a fragment, and every remainder by 3.
        let lengths = (0..4)
            .chain(FRAGMENT / 4 * 3 - 100..FRAGMENT / 4 * 3 + 4)
            .chain([3 * FRAGMENT + 1]);
        for length in lengths {
            let glb: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
            let value = message(&answer(glb.clone(), 2));
            let encoded = value["glb_base64"].as_str().expect("a string");
            assert_eq!(STANDARD.decode(encoded).expect("base64"), glb, "{length}");
            assert_eq!(value["type"], "delta");
            assert_eq!(value["image_count"], 5);
            assert_eq!(value["id"], "a\"b");
            assert_eq!(value["metadata"]["num_frames"], 2);
            assert_eq!(value["metadata"]["extrinsics"][1][3][3], 0.25);
        }
    }

    #[test]
    fn a_binary_result_has_the_same_fields_and_the_glb_behind_them() {
        for length in [0, 1, FRAGMENT, 3 * FRAGMENT + 1] {
            let glb: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
            let event = answer(glb.clone(), 5000);
            let bytes = receive(outgoing(&event, ResultFrames::Binary), Data::Binary);
            let (header, payload) = binary::split(&bytes, usize::MAX).expect("a header");
            let header: Value = serde_json::from_str(header).expect("JSON");
            assert_eq!(payload, glb, "{length}");
            let mut expected = message(&event);
            expected
                .as_object_mut()
                .and_then(|fields| fields.remove("glb_base64"))
                .expect("a field");
            assert_eq!(header, expected);
        }
    }

    #[test]
    fn only_results_are_binary() {
        let event = SessionEvent::Connected {
            image_count: 1,
            max_images: 2,
        };
        let bytes = receive(outgoing(&event, ResultFrames::Binary), Data::Text);
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(value["binary"], true);
        assert_eq!(message(&event).get("binary"), None);
    }

    #[test]
    fn long_metadata_is_cut_too() {
        let value = message(&answer(vec![1; 10], 5000));
        assert_eq!(value["metadata"]["frames"][4999], "ф4999.jpg");
    }
}
