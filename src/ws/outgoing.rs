//! Messages to clients: from events to JSON and frames.

use std::io;

use bytes::Bytes;
use pointstream_actors::{
    Answer, AnswerKind, AttachOptions, Deltas, DeltasKind, ErrorCode, FramePose, MessageId,
    ResultMetadata, SessionEvent, SessionId, SessionStatus, Stage,
};
use serde::Serialize;
use serde::ser::Error as _;
use strum::{EnumDiscriminants, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::binary;
use super::fragments::Fragments;
use crate::entrance::PathPrefix;

/// Messages without a point cloud.
#[derive(Serialize, ToSchema, EnumDiscriminants)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum_discriminants(
    name(ServerMessageKind),
    doc = "The type of a message without a point cloud, as the protocol names it.",
    derive(IntoStaticStr, VariantArray),
    strum(serialize_all = "snake_case")
)]
pub enum ServerMessage<'a> {
    /// The connection joined the session; always the first message.
    Connected {
        #[schema(value_type = uuid::Uuid)]
        session_id: SessionId,
        image_count: u32,
        max_images: u32,
        /// True if results come as binary messages; missing otherwise.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        binary: Option<bool>,
        /// `append` if deltas have what is new; missing otherwise.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        deltas: Option<DeltasKind>,
        /// True if the client watches; missing otherwise.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        watch: Option<bool>,
    },
    /// The session that the client watches has a new result or another status.
    Changed {
        #[schema(value_type = uuid::Uuid)]
        session_id: SessionId,
        image_count: u32,
        status: SessionStatus,
        /// Number of the newest result; `null` if there is none.
        number: Option<u64>,
    },
    /// An image was decoded and stored.
    Ack {
        image_count: u32,
        #[schema(value_type = uuid::Uuid)]
        session_id: SessionId,
        /// The client's name of the image, or a generated one.
        image_path: &'a str,
        /// The `id` of the image's message, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<&'a str>,
    },
    /// A generation advanced.
    Progress {
        stage: Stage,
        /// Completed share of the generation, 0 to 1; never decreases.
        #[schema(minimum = 0, maximum = 1)]
        progress: f64,
        /// Readable text.
        message: &'a str,
        /// The `id` of the request, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<&'a str>,
    },
    /// A message was refused, a generation failed, or the connection ends.
    Error {
        /// What failed and how to correct it, as readable text.
        message: &'a str,
        /// Which error it is, for programs.
        code: ErrorCode,
        /// The `id` of the message that this answers, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<&'a str>,
        /// The client's name of the image that this answers, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, max_length = 1024)]
        filename: Option<&'a str>,
        /// Where the client fetches a result that was too large for its connection: a path on this
        /// server.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        result_url: Option<String>,
    },
    /// All poses as they are now.
    Poses {
        /// The `id` of the message that this answers, if it had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<&'a str>,
        /// Width and height that the intrinsics refer to; `null` before there is any pose.
        processed_size: Option<[usize; 2]>,
        /// All frames of the map, or of the newest result if there is no map.
        frames: &'a [FramePose],
    },
    /// The connection is alive.
    Pong {
        #[schema(value_type = uuid::Uuid)]
        session_id: SessionId,
    },
}

/// A message with a point cloud: `delta` for an incremental result, `complete` for a complete one.
#[derive(Serialize, ToSchema)]
pub struct ResultMessage<'a> {
    #[serde(rename = "type")]
    kind: AnswerKind,
    /// The `id` of the request, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    id: Option<&'a str>,
    /// Images that the session held when the point cloud was asked for.
    image_count: u32,
    /// What the client confirms the result with, in `received`.
    number: u64,
    /// The scene as binary glTF, as base64. Not in the header of a binary message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required)]
    glb_base64: Option<&'a str>,
    metadata: &'a ResultMetadata,
}

/// The type of a message to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentKind {
    Message(ServerMessageKind),
    Result(AnswerKind),
}

impl SentKind {
    pub fn all() -> impl Iterator<Item = Self> {
        let messages = ServerMessageKind::VARIANTS.iter().copied();
        let results = AnswerKind::VARIANTS.iter().copied();
        messages.map(Self::Message).chain(results.map(Self::Result))
    }

    /// The word in the message's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message(kind) => kind.into(),
            Self::Result(kind) => kind.into(),
        }
    }
}

/// How results are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultFrames {
    /// As JSON with the GLB as base64 in it.
    Json,
    /// As binary messages: a header of JSON, and the GLB as it is.
    Binary,
}

/// What the messages of a connection have in common.
#[derive(Debug, Clone)]
pub struct Form {
    pub session_id: SessionId,
    pub results: ResultFrames,
    /// What the client has before the paths of this server.
    pub prefix: PathPrefix,
}

/// Where a serialised result is split to put the GLB in: JSON escapes the quotes of a client's
/// text, so the field is the only place with these bytes.
const NO_GLB: &str = r#""glb_base64":"""#;

/// The message that reports an event, and its type. The end of a session has none.
///
/// # Errors
/// If the event cannot be written as JSON.
pub fn message(
    event: &SessionEvent,
    form: &Form,
) -> serde_json::Result<Option<(SentKind, Fragments)>> {
    let (session_id, results) = (form.session_id, form.results);
    let too_large;
    let message = match event {
        SessionEvent::Connected {
            image_count,
            max_images,
            joined,
        } => ServerMessage::Connected {
            session_id,
            image_count: *image_count,
            max_images: *max_images,
            binary: (results == ResultFrames::Binary).then_some(true),
            deltas: appends(*joined).then_some(DeltasKind::Append),
            watch: (*joined == AttachOptions::Watch).then_some(true),
        },
        SessionEvent::Changed {
            image_count,
            status,
            number,
        } => ServerMessage::Changed {
            session_id,
            image_count: *image_count,
            status: *status,
            number: *number,
        },
        SessionEvent::Acknowledged {
            image_count,
            image_path,
            id,
        } => ServerMessage::Ack {
            image_count: *image_count,
            session_id,
            image_path,
            id: id.as_ref().map(MessageId::as_str),
        },
        SessionEvent::Progress { progress, id } => ServerMessage::Progress {
            stage: progress.stage,
            // Rounded: an f32 written as f64 has spurious digits.
            progress: (f64::from(progress.fraction) * 1e4).round() / 1e4,
            message: &progress.message,
            id: id.as_ref().map(MessageId::as_str),
        },
        SessionEvent::Result {
            answer, number, id, ..
        } => {
            let fragments = result(answer, *number, id.as_ref(), results)?;
            return Ok(Some((SentKind::Result(answer.kind), fragments)));
        }
        SessionEvent::Error {
            code,
            message,
            id,
            filename,
            ..
        } => ServerMessage::Error {
            message,
            code: *code,
            id: id.as_ref().map(MessageId::as_str),
            filename: filename.as_deref(),
            result_url: None,
        },
        SessionEvent::ResultToFetch { bytes, id, .. } => {
            too_large = format!(
                "The result has {bytes} bytes, more than the client took in a message; fetch it from \
                 result_url"
            );
            ServerMessage::Error {
                message: &too_large,
                code: ErrorCode::ResultTooLarge,
                id: id.as_ref().map(MessageId::as_str),
                filename: None,
                result_url: Some(format!("{}/ws/session/{session_id}/result", form.prefix)),
            }
        }
        SessionEvent::Poses { poses, id } => ServerMessage::Poses {
            id: id.as_ref().map(MessageId::as_str),
            processed_size: poses.processed_size,
            frames: &poses.frames,
        },
        SessionEvent::Pong => ServerMessage::Pong { session_id },
        SessionEvent::Closed(_) => return Ok(None),
    };
    let json = serde_json::to_string(&message)?;
    let kind = SentKind::Message(ServerMessageKind::from(&message));
    Ok(Some((kind, Fragments::text(json))))
}

fn appends(joined: AttachOptions) -> bool {
    matches!(
        joined,
        AttachOptions::Use {
            deltas: Deltas::Append { .. },
            ..
        }
    )
}

/// An error message that answers no message of the client.
pub fn error(code: ErrorCode, message: &str) -> Fragments {
    let error = ServerMessage::Error {
        message,
        code,
        id: None,
        filename: None,
        result_url: None,
    };
    // Serialising strings cannot fail.
    Fragments::text(serde_json::to_string(&error).unwrap_or_default())
}

/// The error in place of a result that cannot be read.
pub fn unreadable(event: &SessionEvent, reason: &io::Error) -> Fragments {
    let id = match event {
        SessionEvent::Result { id, .. } => id.as_ref().map(MessageId::as_str),
        _ => None,
    };
    let message = format!("the stored result cannot be read; send the request again: {reason}");
    let error = ServerMessage::Error {
        message: &message,
        code: ErrorCode::StorageFailed,
        id,
        filename: None,
        result_url: None,
    };
    // Serialising strings cannot fail.
    Fragments::text(serde_json::to_string(&error).unwrap_or_default())
}

fn result(
    answer: &Answer,
    number: u64,
    id: Option<&MessageId>,
    frames: ResultFrames,
) -> serde_json::Result<Fragments> {
    let glb = answer.glb.clone();
    let json = serde_json::to_string(&ResultMessage {
        kind: answer.kind,
        id: id.map(MessageId::as_str),
        image_count: answer.image_count,
        number,
        glb_base64: (frames == ResultFrames::Json).then_some(""),
        metadata: &answer.metadata,
    })?;
    if frames == ResultFrames::Binary {
        return Ok(Fragments::binary(binary::preface(json), glb));
    }
    let field = json
        .find(NO_GLB)
        .ok_or_else(|| serde_json::Error::custom("a result has no glb_base64"))?;
    let mut head = Bytes::from(json);
    // Before the closing quote of the empty string.
    let tail = head.split_off(field + NO_GLB.len() - 1);
    Ok(Fragments::text_with_glb(head, glb, tail))
}

#[cfg(test)]
mod tests;
