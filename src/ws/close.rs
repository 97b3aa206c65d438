//! Close codes and reasons (see `docs/protocol.md`).

use std::borrow::Cow;
use std::time::Duration;

use pointstream_actors::{CloseReason, ErrorCode, Unanswered};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::receive_memory::ReceiveError;
use crate::api::SESSION_NOT_FOUND;
use crate::auth::Refusal;
use crate::rates::TooFast;

/// No valid token.
const UNAUTHENTICATED: u16 = 4401;
/// The token lacks a scope.
const FORBIDDEN: u16 = 4403;
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
    pub error: ErrorCode,
    /// Also the text of the error message before the close frame, if there is one.
    pub reason: Cow<'static, str>,
    /// Whether an error message is sent before: many clients only look at messages.
    pub announced: bool,
}

impl Closing {
    fn announced(code: u16, error: ErrorCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            error,
            reason: reason.into(),
            announced: true,
        }
    }

    /// The client has no token that suffices.
    pub fn refused(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::NoScope(_) => FORBIDDEN,
            _ => UNAUTHENTICATED,
        };
        Self::announced(code, refusal.code(), refusal.to_string())
    }

    pub fn session_not_found() -> Self {
        Self::announced(NOT_FOUND, ErrorCode::SessionNotFound, SESSION_NOT_FOUND)
    }

    pub fn too_many(reason: String) -> Self {
        Self::announced(TOO_MANY, ErrorCode::TooManyConnections, reason)
    }

    /// A query parameter of the URL is invalid.
    pub fn invalid(error: ErrorCode, reason: String) -> Self {
        Self::announced(INVALID, error, reason)
    }

    pub fn too_slow() -> Self {
        Self::announced(
            TOO_SLOW,
            ErrorCode::ReadsTooSlowly,
            "too many answers wait to be read; read faster, or send less at a time",
        )
    }

    pub fn too_large(limit: usize) -> Self {
        Self::announced(
            CloseCode::Size.into(),
            ErrorCode::MessageTooLarge,
            format!("message is larger than {limit} bytes; send smaller images"),
        )
    }

    /// The client has not answered pings.
    pub fn silent(patience: Duration) -> Self {
        Self::announced(
            CloseCode::Policy.into(),
            ErrorCode::NoAnswer,
            format!(
                "nothing came for {} s, not even an answer to a ping; connect again",
                patience.as_secs_f64()
            ),
        )
    }

    /// The client takes answers and confirms none.
    pub fn unconfirmed() -> Self {
        Self::announced(
            CloseCode::Policy.into(),
            ErrorCode::NoAnswer,
            "several answers are not confirmed; answer the pings that follow them, or send \"received\"; \
             connect again with resume=true for the answers"
                .to_owned(),
        )
    }

    pub fn not_utf8() -> Self {
        Self::announced(
            CloseCode::Invalid.into(),
            ErrorCode::InvalidMessage,
            "text message is not valid UTF-8",
        )
    }

    /// The client violates the WebSocket protocol.
    pub fn protocol(reason: String) -> Self {
        Self {
            code: CloseCode::Protocol.into(),
            error: ErrorCode::ProtocolViolation,
            reason: reason.into(),
            announced: false,
        }
    }

    /// A result could not be read when a part of it had been sent. There is no error before, since
    /// that would be in the middle of another message.
    pub fn unreadable() -> Self {
        Self {
            code: CloseCode::Error.into(),
            error: ErrorCode::StorageFailed,
            reason: "the stored result cannot be read; send the request again".into(),
            announced: false,
        }
    }

    /// Its reason begins with the code of the error.
    pub fn frame(&self) -> CloseFrame {
        let reason = format!("{}: {}", self.error, self.reason);
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        CloseFrame {
            code: self.code.into(),
            reason: reason[..end].into(),
        }
    }
}

impl From<ReceiveError> for Closing {
    fn from(error: ReceiveError) -> Self {
        let (code, name) = match error {
            ReceiveError::Stalled | ReceiveError::Slow => {
                (CloseCode::Policy, ErrorCode::SendsTooSlowly)
            }
            ReceiveError::Fragmented => (CloseCode::Policy, ErrorCode::InvalidMessage),
            ReceiveError::Early => (CloseCode::Policy, ErrorCode::Unauthenticated),
            ReceiveError::Busy => (CloseCode::Again, ErrorCode::ServerBusy),
            ReceiveError::TooLarge => (CloseCode::Policy, ErrorCode::WatchesOnly),
        };
        Self::announced(code.into(), name, error.to_string())
    }
}

impl From<TooFast> for Closing {
    fn from(error: TooFast) -> Self {
        Self::announced(
            CloseCode::Again.into(),
            ErrorCode::TooManyRequests,
            error.to_string(),
        )
    }
}

impl From<Unanswered> for Closing {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::NotFound => Self::session_not_found(),
            Unanswered::Busy => Self::announced(
                CloseCode::Again.into(),
                ErrorCode::ServerBusy,
                error.to_string(),
            ),
            Unanswered::ShuttingDown => CloseReason::ShuttingDown.into(),
        }
    }
}

impl From<CloseReason> for Closing {
    fn from(reason: CloseReason) -> Self {
        let (error, text) = (reason.code(), reason.to_string());
        match reason {
            CloseReason::Deleted => Self::announced(DELETED, error, text),
            CloseReason::Expired => Self::announced(EXPIRED, error, text),
            CloseReason::Failed => Self::announced(FAILED, error, text),
            // No error message: nothing is lost. Requests without an answer run in the next server.
            CloseReason::ShuttingDown | CloseReason::Moved => Self {
                code: CloseCode::Away.into(),
                error,
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
            UNAUTHENTICATED,
            FORBIDDEN,
            NOT_FOUND,
            EXPIRED,
            DELETED,
            TOO_SLOW,
            INVALID,
            TOO_MANY,
            FAILED,
        ] {
            assert!(CloseCode::from(code).is_allowed(), "{code}");
        }
        for closing in [
            Closing::too_large(1),
            Closing::not_utf8(),
            Closing::silent(Duration::from_secs(40)),
            Closing::protocol(String::new()),
            Closing::unreadable(),
            CloseReason::ShuttingDown.into(),
            ReceiveError::Stalled.into(),
            ReceiveError::Slow.into(),
            ReceiveError::Fragmented.into(),
            ReceiveError::Busy.into(),
            ReceiveError::TooLarge.into(),
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
        let frame = Closing::too_many("ü".repeat(100)).frame();
        let expected = format!("too_many_connections: {}", "ü".repeat(50));
        assert_eq!(frame.reason.as_str(), expected);
    }
}
