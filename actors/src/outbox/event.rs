//! What receivers of webhooks are told.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::answer::AnswerKind;
use crate::error_code::ErrorCode;
use crate::ids::{MessageId, RequestKey, SessionId};
use crate::session_event::CloseReason;

/// The type of an event, as receivers see it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
pub enum EventType {
    /// A result is stored.
    #[strum(serialize = "result.made")]
    ResultMade,
    /// A request for a point cloud has failed.
    #[strum(serialize = "request.failed")]
    RequestFailed,
    /// A session has ended, and will not come back.
    #[strum(serialize = "session.ended")]
    SessionEnded,
    /// A session is lost because of an error.
    #[strum(serialize = "session.failed")]
    SessionFailed,
}

/// Something that has happened to a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub session: SessionId,
    pub at: SystemTime,
    pub content: EventContent,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EventContent {
    ResultMade {
        /// Key of the request within the session.
        request: RequestKey,
        /// The client's identifier of its request.
        id: Option<MessageId>,
        /// Number of the result within the session.
        number: u64,
        kind: AnswerKind,
    },
    RequestFailed {
        /// Key of the request within the session.
        request: RequestKey,
        /// The client's identifier of its request.
        id: Option<MessageId>,
        code: ErrorCode,
        reason: String,
    },
    SessionEnded {
        reason: CloseReason,
    },
    SessionFailed {
        reason: String,
    },
}

impl EventContent {
    /// A session cannot go on.
    pub(crate) fn lost() -> Self {
        Self::SessionFailed {
            reason: "the session cannot be restored".to_owned(),
        }
    }
}

/// The place of an event in its session. Each place has one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The answer to this request. Answers that are told come in the order of their requests.
    Answer(RequestKey),
    End,
}

impl Event {
    /// Its type.
    pub fn kind(&self) -> EventType {
        match self.content {
            EventContent::ResultMade { .. } => EventType::ResultMade,
            EventContent::RequestFailed { .. } => EventType::RequestFailed,
            EventContent::SessionEnded { .. } => EventType::SessionEnded,
            EventContent::SessionFailed { .. } => EventType::SessionFailed,
        }
    }

    pub(super) fn place(&self) -> Place {
        match self.content {
            EventContent::ResultMade { request, .. }
            | EventContent::RequestFailed { request, .. } => Place::Answer(request),
            EventContent::SessionEnded { .. } | EventContent::SessionFailed { .. } => Place::End,
        }
    }

    /// Identifies its message: the same in every process that knows the session.
    pub(super) fn message_id(&self) -> String {
        let session = self.session.simple();
        match self.place() {
            Place::Answer(request) => format!("msg_{session}_{request}"),
            Place::End => format!("msg_{session}_end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn an_event_has_one_identifier_in_every_process() {
        let event = |content| Event {
            session: SessionId::nil(),
            at: UNIX_EPOCH,
            content,
        };
        let made = event(EventContent::ResultMade {
            request: 3,
            id: None,
            number: 2,
            kind: AnswerKind::Delta,
        });
        let later = Event {
            at: SystemTime::now(),
            ..made.clone()
        };
        let id = "msg_00000000000000000000000000000000_3";
        assert_eq!(
            (made.message_id().as_str(), later.message_id().as_str()),
            (id, id)
        );
        let reason = CloseReason::Deleted;
        let ended = event(EventContent::SessionEnded { reason });
        assert!(ended.message_id().ends_with("_end"));
        assert_eq!(ended.kind().to_string(), "session.ended");
    }
}
