//! What a server says when it refuses something, and which error that is.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// After these close codes a new connection meets the same again.
const FINAL: [u16; 10] = [1002, 1003, 1007, 1009, 4401, 4403, 4404, 4408, 4410, 4422];
/// These statuses of HTTP pass.
const PASSING: [u16; 5] = [429, 500, 502, 503, 504];

/// What the server says of something that it refuses, or could not do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Refusal {
    /// For people. It ends with what would work.
    pub message: String,
    /// One of the error codes of the protocol; none if a proxy answered in place of the server.
    pub code: Option<String>,
    /// The status of an HTTP answer, or the close code of a socket.
    pub status: Option<u16>,
    /// How long the server wants not to be asked again.
    pub retry_after: Option<Duration>,
    /// The image concerned.
    pub filename: Option<String>,
    /// The path of a result that did not fit into a message.
    pub result_url: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        match &self.code {
            Some(code) => write!(formatter, " [{code}]"),
            None => Ok(()),
        }
    }
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    pub(crate) fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// Whether another attempt to connect may succeed.
    pub(crate) fn passes(&self) -> bool {
        match self.status {
            Some(status) if status < 1000 => PASSING.contains(&status),
            Some(status) => !FINAL.contains(&status),
            None => true,
        }
    }

    /// The error of this code, or else of this status.
    pub(crate) fn into_error(self) -> Error {
        let kind = self.code.as_deref().and_then(by_code);
        let kind = kind.or_else(|| self.status.and_then(by_status));
        kind.unwrap_or(Error::Server)(Box::new(self))
    }
}

type Kind = fn(Box<Refusal>) -> Error;

fn by_code(code: &str) -> Option<Kind> {
    Some(match code {
        "unauthenticated" => Error::Authentication,
        "missing_scope" | "watches_only" | "origin_not_allowed" | "host_not_allowed"
        | "https_required" => Error::PermissionDenied,
        "session_not_found" => Error::SessionNotFound,
        "session_deleted" | "session_expired" | "session_failed" => Error::SessionEnded,
        "invalid_image" | "image_too_large" | "too_many_images" => Error::ImageRefused,
        "cancelled" => Error::Cancelled,
        "invalid_message"
        | "invalid_parameter"
        | "unknown_parameter"
        | "unexpected_body"
        | "invalid_form"
        | "unsupported_media_type"
        | "method_not_allowed"
        | "upgrade_required"
        | "invalid_header"
        | "not_found"
        | "protocol_violation"
        | "message_too_large"
        | "range_not_satisfiable"
        | "precondition_failed"
        | "invalid_video"
        | "video_too_large"
        | "videos_off" => Error::InvalidRequest,
        "session_completed" => Error::SessionCompleted,
        "no_images" | "nothing_to_cancel" | "unknown_result" | "not_completed" | "no_result" => {
            Error::State
        }
        "session_busy"
        | "too_many_requests"
        | "too_many_sessions"
        | "too_many_clients"
        | "too_many_connections"
        | "server_busy"
        | "shutting_down"
        | "not_ready"
        | "worker_restarts"
        | "reads_too_slowly"
        | "sends_too_slowly"
        | "no_answer" => Error::Busy,
        "model_failed" | "no_point_cloud" | "out_of_memory" | "timeout" | "worker_failed" => {
            Error::Reconstruction
        }
        "result_too_large" => Error::ResultTooLarge,
        "disk_full" | "storage_failed" => Error::Storage,
        _ => return None,
    })
}

/// For answers without a code, which a proxy gives.
fn by_status(status: u16) -> Option<Kind> {
    Some(match status {
        401 => Error::Authentication,
        403 => Error::PermissionDenied,
        429 | 502..=504 => Error::Busy,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of the table in docs/protocol.md.
    fn documented() -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
        let text = std::fs::read_to_string(path).unwrap();
        let section = text.split("### Error codes").nth(1).unwrap();
        let section = section.split("### Close codes").next().unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| row.split('`').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn all_documented_codes_have_a_kind() {
        let codes = documented();
        assert!(codes.len() > 40, "{codes:?}");
        for code in codes {
            // A defect of the server has no kind of its own.
            assert_eq!(by_code(&code).is_none(), code == "internal", "{code}");
        }
    }

    #[test]
    fn the_code_counts_more_than_the_status() {
        let refusal = Refusal {
            status: Some(429),
            ..Refusal::new("full").code("too_many_images")
        };
        let error = refusal.into_error();
        assert!(matches!(error, Error::ImageRefused(_)));
        assert!(error.to_string().starts_with("full [too_many_images]; "));
        let proxy = Refusal {
            status: Some(503),
            ..Refusal::new("no answer")
        };
        assert!(matches!(proxy.into_error(), Error::Busy(_)));
    }

    #[test]
    fn what_stays_is_not_tried_again() {
        let passes = |status| {
            let refusal = Refusal {
                status: Some(status),
                ..Refusal::default()
            };
            refusal.into_error().passes()
        };
        for status in [429, 503, 1001, 1011, 1013, 4413, 4429, 4500] {
            assert!(passes(status), "{status}");
        }
        for status in [401, 404, 422, 1002, 1009, 4401, 4404, 4410, 4422] {
            assert!(!passes(status), "{status}");
        }
        assert!(Error::Unreachable(String::new()).passes());
        assert!(!Error::InvalidResponse(String::new()).passes());
    }
}
