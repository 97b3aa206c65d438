//! Errors of the REST interface: status, text and headers.

use std::fmt;
use std::io;

use pointstream_actors::{
    CreateSessionError, DeleteSessionError, ErrorCode, ErrorKind, HoldFailed, OutOfRange,
    RestartError, ResultFileError, StoredImageError, TakeOverError, Unanswered, WebhookError,
};
use pointstream_reconstruction::formats::WriteError;
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::reject::Reject;
use warp::reply::{Reply, Response};

use crate::auth::Refusal;
use crate::webhooks::RefusedWebhook;

/// Seconds after which a client may try again (`Retry-After` of a 503).
const RETRY_SECONDS: u64 = 10;

/// The session does not exist or has ended: a text for REST and for WebSockets.
pub const SESSION_NOT_FOUND: &str = "Session not found";

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What failed and how to correct it, as readable text.
    detail: String,
    /// Which error it is, for programs.
    code: ErrorCode,
}

/// A status and `{"detail": "...", "code": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    detail: String,
    /// The `Allow` header: methods that the resource has.
    allow: Option<String>,
    /// Seconds after which the client may try again (`Retry-After`).
    retry_after: Option<u64>,
    /// What a caller must show (`WWW-Authenticate`).
    challenge: Option<String>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            allow: None,
            retry_after: None,
            challenge: None,
        }
    }

    /// 503 with `Retry-After`.
    pub fn busy(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(RETRY_SECONDS),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        }
    }

    /// 429 with `Retry-After` in so many seconds.
    pub fn too_many(code: ErrorCode, detail: impl Into<String>, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
        }
    }

    /// 404: the session does not exist or has ended.
    pub fn session_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            ErrorCode::SessionNotFound,
            SESSION_NOT_FOUND,
        )
    }

    /// 404: another resource does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, detail)
    }

    /// 422: a parameter is invalid.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidParameter,
            detail,
        )
    }

    /// 405 with the methods that the resource has.
    pub fn method_not_allowed<'a>(methods: impl Iterator<Item = &'a str>) -> Self {
        let allow = methods.collect::<Vec<_>>().join(", ");
        let detail = format!("method not allowed; this resource has {allow}");
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::MethodNotAllowed,
                detail,
            )
        }
    }

    /// 500. The error is logged but not sent to the client.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "request failed with an internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Internal,
            "internal error; the server's log says more",
        )
    }

    /// Whether the client does something too often, or has too much of it.
    pub fn is_too_many(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    pub fn code(&self) -> ErrorCode {
        self.code
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<&Refusal> for ApiError {
    fn from(refusal: &Refusal) -> Self {
        Self {
            challenge: Some(refusal.challenge()),
            ..Self::new(refusal.status(), refusal.code(), refusal.to_string())
        }
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
            Unanswered::Busy => Self::busy(ErrorCode::ServerBusy, error.to_string()),
            Unanswered::ShuttingDown => Self::busy(ErrorCode::ShuttingDown, error.to_string()),
        }
    }
}

impl From<RestartError> for ApiError {
    fn from(error: RestartError) -> Self {
        let detail = error.to_string();
        match error {
            RestartError::Unanswered(error) => error.into(),
            RestartError::NoSuchWorker { .. } => Self::not_found(detail),
            RestartError::Starting { .. } => {
                Self::new(StatusCode::CONFLICT, ErrorCode::WorkerRestarts, detail)
            }
            RestartError::TooSoon { seconds, .. } => {
                Self::too_many(ErrorCode::WorkerRestarts, detail, seconds)
            }
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
            ResultFileError::TimedOut { .. } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorCode::Timeout,
                error.to_string(),
            ),
            ResultFileError::NoMemory {
                source: HoldFailed::TimedOut(_),
                ..
            } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorCode::Timeout,
                error.to_string(),
            ),
            // Fewer images or a smaller resolution would work.
            ResultFileError::NoMemory { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                ErrorCode::OutOfMemory,
                error.to_string(),
            ),
            ResultFileError::Write { ref source, .. }
                if matches!(**source, WriteError::Surface(_)) =>
            {
                Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    ErrorCode::NoPointCloud,
                    error.to_string(),
                )
            }
            ResultFileError::Write { ref source, .. }
                if ErrorKind::of_files(&**source) == ErrorKind::DiskFull =>
            {
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    ErrorCode::DiskFull,
                    error.to_string(),
                )
            }
            ResultFileError::Write { .. } | ResultFileError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<TakeOverError> for ApiError {
    fn from(error: TakeOverError) -> Self {
        match error {
            TakeOverError::Unanswered(error) => error.into(),
            // The other session has ended meanwhile.
            TakeOverError::Files(source) if source.kind() == io::ErrorKind::NotFound => {
                Self::session_not_found()
            }
            TakeOverError::Files(ref source)
                if ErrorKind::of_files(source) == ErrorKind::DiskFull =>
            {
                let detail = error.to_string();
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    ErrorCode::DiskFull,
                    detail,
                )
            }
            TakeOverError::Files(_) | TakeOverError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<StoredImageError> for ApiError {
    fn from(error: StoredImageError) -> Self {
        match error {
            StoredImageError::Unanswered(error) => error.into(),
            StoredImageError::Read(_) | StoredImageError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<RefusedWebhook> for ApiError {
    fn from(error: RefusedWebhook) -> Self {
        match error {
            RefusedWebhook::Random(_) => Self::internal(&error),
            error => Self::invalid(format!("webhook: {error}")),
        }
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Unanswered(error) => error.into(),
            WebhookError::NoSuchDelivery(_) => Self::not_found(error.to_string()),
            WebhookError::Storage { .. } | WebhookError::Behind => Self::internal(&error),
        }
    }
}

impl From<CreateSessionError> for ApiError {
    fn from(error: CreateSessionError) -> Self {
        match error {
            CreateSessionError::OutOfRange(error) => error.into(),
            CreateSessionError::CreatorAtCapacity { .. } => {
                Self::too_many(ErrorCode::TooManySessions, error.to_string(), RETRY_SECONDS)
            }
            CreateSessionError::AtCapacity { .. } => {
                Self::busy(ErrorCode::TooManySessions, error.to_string())
            }
            CreateSessionError::ShuttingDown => Unanswered::ShuttingDown.into(),
            CreateSessionError::Busy => Unanswered::Busy.into(),
            CreateSessionError::Storage(ref failed) if failed.code == ErrorCode::DiskFull => {
                let detail = error.to_string();
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    ErrorCode::DiskFull,
                    detail,
                )
            }
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
            code: self.code,
        });
        let mut response = warp::reply::with_status(body, self.status).into_response();
        response.extensions_mut().insert(self.code);
        if let Some(Ok(allow)) = self.allow.map(HeaderValue::try_from) {
            response.headers_mut().insert(ALLOW, allow);
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(Ok(challenge)) = self.challenge.map(HeaderValue::try_from) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pointstream_actors::{MeshTooLarge, ResultFormat};
    use pointstream_reconstruction::surface::SurfaceError;

    use super::*;
    use strum::VariantArray;

    /// The codes in the first column of the table below a heading.
    fn codes_of_the_documentation() -> Vec<&'static str> {
        let text = include_str!("../../docs/protocol.md");
        let (_, section) = text.split_once("### Error codes").expect("a heading");
        let section = section.split("\n#").next().expect("a section");
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| row.split('`').next().expect("a code"))
            .collect()
    }

    #[test]
    fn the_documentation_lists_all_codes() {
        let codes = ErrorCode::VARIANTS.iter().map(<&str>::from);
        assert_eq!(codes_of_the_documentation(), codes.collect::<Vec<_>>());
        for code in ErrorCode::VARIANTS {
            let json = serde_json::to_value(code).expect("serialisable");
            assert_eq!(json, <&str>::from(code));
        }
    }

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
    fn a_mesh_without_surface_or_memory_is_a_422() {
        let (format, source) = (
            ResultFormat::MeshObj,
            Arc::new(SurfaceError::NoSurface.into()),
        );
        let none = ApiError::from(ResultFileError::Write { format, source });
        assert_eq!(
            (none.status.as_u16(), none.code),
            (422, ErrorCode::NoPointCloud)
        );
        assert!(none.detail().contains("more photos"), "{}", none.detail());
        let no_memory = |source| ApiError::from(ResultFileError::NoMemory { format, source });
        let too_large = MeshTooLarge {
            needed: 700_000_000,
            limit: 500_000_000,
        };
        let too_large = no_memory(too_large.into());
        assert_eq!(
            (too_large.status.as_u16(), too_large.code),
            (422, ErrorCode::OutOfMemory)
        );
        assert_eq!(
            too_large.detail(),
            "the result could not be written as mesh_obj: out of memory: making a mesh of this result may need 700 MB \
             of memory, and the server has 500 MB for it; fetch a format with points, or run the session again with a \
             smaller process_res or fewer photos"
        );
        let late = no_memory(HoldFailed::TimedOut(5));
        assert_eq!((late.status.as_u16(), late.code), (504, ErrorCode::Timeout));
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
