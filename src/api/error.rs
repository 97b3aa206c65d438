//! Errors of the REST interface: status, text and headers.

use std::fmt;

use pointstream_actors::{
    CreateSessionError, DeleteSessionError, ErrorKind, OutOfRange, ResultFileError, ThumbnailError,
    Unanswered,
};
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use warp::reject::Reject;
use warp::reply::{Reply, Response};

/// Seconds after which a client may try again (`Retry-After` of a 503).
const RETRY_SECONDS: &str = "10";

/// The session does not exist or has ended: a text for REST and for WebSockets.
pub const SESSION_NOT_FOUND: &str = "Session not found";

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What failed and how to correct it, as readable text.
    detail: String,
}

/// A status and `{"detail": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    detail: String,
    /// The `Allow` header: methods that the resource has.
    allow: Option<String>,
    /// Whether to send `Retry-After`.
    later: bool,
}

impl ApiError {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            allow: None,
            later: false,
        }
    }

    /// 503 with `Retry-After`.
    pub fn busy(detail: impl Into<String>) -> Self {
        Self {
            later: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// 404: the session does not exist or has ended.
    pub fn session_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, SESSION_NOT_FOUND)
    }

    /// 404: another resource does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 422: a parameter is invalid.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 405 with the methods that the resource has.
    pub fn method_not_allowed<'a>(methods: impl Iterator<Item = &'a str>) -> Self {
        let allow = methods.collect::<Vec<_>>().join(", ");
        Self {
            later: false,
            status: StatusCode::METHOD_NOT_ALLOWED,
            detail: format!("method not allowed; this resource has {allow}"),
            allow: Some(allow),
        }
    }

    /// 500. The error is logged but not sent to the client.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "request failed with an internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; the server's log says more",
        )
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<OutOfRange> for ApiError {
    fn from(error: OutOfRange) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<Unanswered> for ApiError {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::NotFound => Self::session_not_found(),
            Unanswered::Busy | Unanswered::ShuttingDown => Self::busy(error.to_string()),
        }
    }
}

impl From<DeleteSessionError> for ApiError {
    fn from(error: DeleteSessionError) -> Self {
        match error {
            DeleteSessionError::Unanswered(error) => error.into(),
            DeleteSessionError::Files(_) => Self::internal(&error),
        }
    }
}

impl From<ResultFileError> for ApiError {
    fn from(error: ResultFileError) -> Self {
        match error {
            ResultFileError::Unanswered(error) => error.into(),
            ResultFileError::TimedOut { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, error.to_string())
            }
            ResultFileError::Write { ref source, .. }
                if ErrorKind::of_files(&**source) == ErrorKind::DiskFull =>
            {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
            }
            ResultFileError::Write { .. } | ResultFileError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<ThumbnailError> for ApiError {
    fn from(error: ThumbnailError) -> Self {
        match error {
            ThumbnailError::Unanswered(error) => error.into(),
            ThumbnailError::Read(_) | ThumbnailError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<CreateSessionError> for ApiError {
    fn from(error: CreateSessionError) -> Self {
        match error {
            CreateSessionError::OutOfRange(error) => error.into(),
            CreateSessionError::AtCapacity { .. }
            | CreateSessionError::ShuttingDown
            | CreateSessionError::Busy => Self::busy(error.to_string()),
            CreateSessionError::Storage(_) | CreateSessionError::Internal(_) => {
                Self::internal(&error)
            }
        }
    }
}

impl Reject for ApiError {}

impl Reply for ApiError {
    fn into_response(self) -> Response {
        let body = warp::reply::json(&ErrorBody {
            detail: self.detail,
        });
        let mut response = warp::reply::with_status(body, self.status).into_response();
        if let Some(Ok(allow)) = self.allow.map(HeaderValue::try_from) {
            response.headers_mut().insert(ALLOW, allow);
        }
        if self.later {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use pointstream_actors::ResultFormat;
    use pointstream_reconstruction::formats::WriteError;

    use super::*;

    #[test]
    fn a_405_lists_the_methods() {
        let response = ApiError::method_not_allowed(["GET", "DELETE"].into_iter()).into_response();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "GET, DELETE");
    }

    #[test]
    fn internal_errors_are_not_sent_to_clients() {
        let error = ApiError::internal(&"disk /srv/secret is full");
        assert!(!error.detail().contains("secret"));
    }

    #[test]
    fn a_busy_actor_is_a_503_and_not_a_404() {
        for error in [
            ApiError::from(Unanswered::Busy),
            DeleteSessionError::Unanswered(Unanswered::Busy).into(),
            CreateSessionError::Busy.into(),
            ResultFileError::Unanswered(Unanswered::ShuttingDown).into(),
        ] {
            let response = error.into_response();
            assert_eq!(response.status(), 503);
            assert!(response.headers().contains_key(RETRY_AFTER));
        }
        let missing = ApiError::from(Unanswered::NotFound);
        assert_eq!(missing, ApiError::session_not_found());
        let left = DeleteSessionError::Files("directory not empty".to_owned());
        assert_eq!(ApiError::from(left).status, 500);
    }

    #[test]
    fn only_a_full_disk_is_a_507() {
        let status = |kind: std::io::ErrorKind| {
            let source = WriteError::Write(kind.into());
            let error = ResultFileError::Write {
                format: ResultFormat::Ply,
                source: source.into(),
            };
            ApiError::from(error).status.as_u16()
        };
        assert_eq!(status(std::io::ErrorKind::StorageFull), 507);
        assert_eq!(status(std::io::ErrorKind::QuotaExceeded), 507);
        assert_eq!(status(std::io::ErrorKind::NotFound), 500);
    }

    #[test]
    fn errors_of_the_actors_have_a_status() {
        let at_capacity = ApiError::from(CreateSessionError::AtCapacity { limit: 7 });
        assert_eq!(at_capacity.status, 503);
        assert!(at_capacity.detail().contains('7'));
        let out_of_range = ApiError::from(OutOfRange {
            parameter: "process_res",
            value: 9.0,
            min: 14.0,
            max: 1008.0,
        });
        assert_eq!(out_of_range.status, 422);
        assert_eq!(
            out_of_range.detail(),
            "process_res must be between 14 and 1008, but it is 9"
        );
    }
}
