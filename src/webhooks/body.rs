//! The bodies of messages.

use std::time::UNIX_EPOCH;

use pointstream_actors::{
    AnswerKind, CloseReason, ErrorCode, EventContent, SessionId, WebhookEvent,
};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A message.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    /// When the event happened.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Result {
        session_id: SessionId,
        number: u64,
        kind: AnswerKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        result_url: String,
    },
    Failed {
        session_id: SessionId,
        code: ErrorCode,
        reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    },
    Ended {
        session_id: SessionId,
        reason: &'a str,
    },
}

/// The body of an event's message. `base` comes before the paths of the server.
pub fn body(event: &WebhookEvent, base: &str) -> String {
    let session_id = event.session;
    let data = match &event.content {
        EventContent::ResultMade {
            id, number, kind, ..
        } => Data::Result {
            session_id,
            number: *number,
            kind: *kind,
            id: id.as_ref().map(|id| id.as_str()),
            result_url: format!("{base}/ws/session/{session_id}/result"),
        },
        EventContent::RequestFailed {
            id, code, reason, ..
        } => Data::Failed {
            session_id,
            code: *code,
            reason,
            id: id.as_ref().map(|id| id.as_str()),
        },
        EventContent::SessionEnded { reason } => Data::Ended {
            session_id,
            reason: word(*reason),
        },
        EventContent::SessionFailed { reason } => Data::Ended { session_id, reason },
    };
    // A stored time may be later than what can be written.
    let since = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = since.try_into().unwrap_or(time::Duration::MAX);
    let at = OffsetDateTime::UNIX_EPOCH.saturating_add(since);
    // Fractions of milliseconds say nothing.
    let at = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    let body = Body {
        r#type: event.kind().into(),
        timestamp: at.format(&Rfc3339).unwrap_or_default(),
        data,
    };
    serde_json::to_string(&body).unwrap_or_default()
}

fn word(reason: CloseReason) -> &'static str {
    reason.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pointstream_actors::MessageId;
    use serde_json::{Value, json};

    use super::*;

    fn of(content: EventContent) -> Value {
        let event = WebhookEvent {
            session: SessionId::nil(),
            at: UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
            content,
        };
        let body = body(&event, "https://scan.example.org/p");
        serde_json::from_str(&body).expect("JSON")
    }

    #[test]
    fn messages_say_what_has_happened_and_where_to_look() {
        let session_id = "00000000-0000-0000-0000-000000000000";
        let id = MessageId::new("mine").ok();
        let made = of(EventContent::ResultMade {
            request: 4,
            id,
            number: 3,
            kind: AnswerKind::Complete,
        });
        let url = format!("https://scan.example.org/p/ws/session/{session_id}/result");
        assert_eq!(
            made,
            json!({
                "type": "result.made",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "data": {"session_id": session_id, "number": 3, "kind": "complete", "id": "mine",
                         "result_url": url},
            })
        );
        let failed = of(EventContent::RequestFailed {
            request: 4,
            id: None,
            code: ErrorCode::OutOfMemory,
            reason: "too little".to_owned(),
        });
        assert_eq!(failed["type"], "request.failed");
        assert_eq!(
            failed["data"],
            json!({"session_id": session_id, "code": "out_of_memory", "reason": "too little"})
        );
        let ended = of(EventContent::SessionEnded {
            reason: CloseReason::Expired,
        });
        assert_eq!(ended["type"], "session.ended");
        assert_eq!(
            ended["data"],
            json!({"session_id": session_id, "reason": "expired"})
        );
        let lost = of(EventContent::SessionFailed {
            reason: "lost".to_owned(),
        });
        assert_eq!(lost["type"], "session.failed");
    }

    #[test]
    fn a_time_that_cannot_be_written_is_the_last_one() {
        let event = WebhookEvent {
            session: SessionId::nil(),
            at: UNIX_EPOCH + Duration::from_millis(i64::MAX as u64),
            content: EventContent::SessionFailed {
                reason: "lost".to_owned(),
            },
        };
        let body: Value = serde_json::from_str(&body(&event, "")).expect("JSON");
        let timestamp = body["timestamp"].as_str().expect("text");
        assert!(timestamp.starts_with("9999-12-31T23:59:59"), "{timestamp}");
    }
}
