//! Close codes and reasons (see `docs/protocol.md`).

use std::borrow::Cow;

use pointstream_actors::{CloseReason, Unanswered};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::receive_memory::ReceiveError;
use crate::api::SESSION_NOT_FOUND;

/// Session unknown.
const NOT_FOUND: u16 = 4404;
/// Session expired after inactivity.
const EXPIRED: u16 = 4408;
/// Session was deleted.
const DELETED: u16 = 4410;
/// Too many answers wait for the client.
const TOO_SLOW: u16 = 4413;
/// A query parameter of the URL is invalid.
const INVALID: u16 = 4422;
/// Session has its maximum of sockets.
const TOO_MANY: u16 = 4429;
/// Session failed.
const FAILED: u16 = 4500;
/// Longest reason in bytes that fits a close frame.
const MAX_REASON: usize = 123;

/// A close frame that the server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    pub code: u16,
    /// Also the text of the error message before the close frame, if there is one.
    pub reason: Cow<'static, str>,
    /// Whether an error message is sent before: many clients only look at messages.
    pub announced: bool,
}

impl Closing {
    fn announced(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            reason: reason.into(),
            announced: true,
        }
    }

    pub fn session_not_found() -> Self {
        Self::announced(NOT_FOUND, SESSION_NOT_FOUND)
    }

    pub fn too_many(reason: String) -> Self {
        Self::announced(TOO_MANY, reason)
    }

    /// A query parameter of the URL is invalid.
    pub fn invalid(reason: String) -> Self {
        Self::announced(INVALID, reason)
    }

    pub fn too_slow() -> Self {
        Self::announced(
            TOO_SLOW,
            "too many answers wait to be read; read faster, or send less at a time",
        )
    }

    pub fn too_large(limit: usize) -> Self {
        Self::announced(
            CloseCode::Size.into(),
            format!("message is larger than {limit} bytes; send smaller images"),
        )
    }

    pub fn not_utf8() -> Self {
        Self::announced(CloseCode::Invalid.into(), "text message is not valid UTF-8")
    }

    /// The client violates the WebSocket protocol.
    pub fn protocol(reason: String) -> Self {
        Self {
            code: CloseCode::Protocol.into(),
            reason: reason.into(),
            announced: false,
        }
    }

    pub fn frame(&self) -> CloseFrame {
        let mut end = self.reason.len().min(MAX_REASON);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        CloseFrame {
            code: self.code.into(),
            reason: self.reason[..end].into(),
        }
    }
}

impl From<ReceiveError> for Closing {
    fn from(error: ReceiveError) -> Self {
        let code = match error {
            ReceiveError::Stalled => CloseCode::Policy,
            ReceiveError::Busy => CloseCode::Again,
        };
        Self::announced(code.into(), error.to_string())
    }
}

impl From<Unanswered> for Closing {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::NotFound => Self::session_not_found(),
            Unanswered::Busy => Self::announced(CloseCode::Again.into(), error.to_string()),
            Unanswered::ShuttingDown => CloseReason::ShuttingDown.into(),
        }
    }
}

impl From<CloseReason> for Closing {
    fn from(reason: CloseReason) -> Self {
        let text = reason.to_string();
        match reason {
            CloseReason::Deleted => Self::announced(DELETED, text),
            CloseReason::Expired => Self::announced(EXPIRED, text),
            CloseReason::Failed => Self::announced(FAILED, text),
            // No error: all requests were answered before.
            CloseReason::ShuttingDown => Self {
                code: CloseCode::Away.into(),
                reason: text.into(),
                announced: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_close_codes_are_allowed() {
        for code in [
            NOT_FOUND, EXPIRED, DELETED, TOO_SLOW, INVALID, TOO_MANY, FAILED,
        ] {
            assert!(CloseCode::from(code).is_allowed(), "{code}");
        }
        for closing in [
            Closing::too_large(1),
            Closing::not_utf8(),
            Closing::protocol(String::new()),
            CloseReason::ShuttingDown.into(),
            ReceiveError::Stalled.into(),
            ReceiveError::Busy.into(),
            Unanswered::Busy.into(),
        ] {
            assert!(CloseCode::from(closing.code).is_allowed(), "{closing:?}");
        }
    }

    #[test]
    fn shutdown_is_going_away() {
        let closing = Closing::from(CloseReason::ShuttingDown);
        assert_eq!((closing.code, closing.announced), (1001, false));
    }

    #[test]
    fn reasons_fit_a_close_frame() {
        let frame = Closing::invalid("ü".repeat(100)).frame();
        assert_eq!(frame.reason.as_str(), "ü".repeat(61));
    }
}
