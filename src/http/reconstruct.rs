//! `POST /reconstruct`: images in, a file out, by a session that ends with the response.

use std::time::Duration;

use futures_util::StreamExt;
use http_body_util::BodyExt;
use pointstream_actors::{
    AttachError, CloseReason, ErrorKind, FinalizeMode, OwnedSession, Quality, SessionConfig,
    SessionId,
};
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue, LOCATION};
use warp::reply::{Reply, Response};

use super::multipart::{self, Body, Images, MultipartError};
use super::results::{self, Description, Format};
use crate::api::headers::{QUALITY, QUALITY_REASONS};
use crate::api::{ApiError, ErrorBody, Query, Request};
use crate::app::App;
use crate::one_shot::{OneShot, OneShotError};

/// Longest time to read and discard the rest of a refused body. A client that is still sending when
/// the connection closes may not receive the error.
const LINGER: Duration = Duration::from_secs(5);

/// The parameters of a request.
struct Order {
    config: SessionConfig,
    format: Format,
    /// Whether to respond before the result exists (`async`).
    asynchronous: bool,
    boundary: String,
}

impl Order {
    fn read(app: &App, query: &Query, headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self {
            config: photo_config(query, app)?,
            format: Format::from_query(query)?,
            asynchronous: query.boolean("async")?.unwrap_or(false),
            boundary: multipart::boundary(headers.get(CONTENT_TYPE))?,
        })
    }
}

/// The body of a request.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only describes what `multipart` reads as a stream"
)]
struct Photos {
    /// Image files (JPEG, PNG or WebP).
    #[schema(value_type = Vec<String>, format = Binary)]
    images: Vec<Vec<u8>>,
}

/// Where to fetch a result that does not exist yet.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// The session that makes the result.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// URL of the session's status.
    status_url: String,
    /// URL of the result.
    result_url: String,
}

/// Reconstructs the photos of one request, in a session that ends with the response.
#[utoipa::path(
    post, path = "/reconstruct", operation_id = "reconstruct", tag = "sessions",
    params(
        ("format" = Option<String>, Query, description = "The form of the answer: a file, or \
          `json` for all but the point cloud"),
        ("async" = Option<bool>, Query, description = "Whether to answer as soon as all images are \
          stored, with where to ask for the result"),
    ),
    request_body(content = Photos, content_type = "multipart/form-data"),
    responses(
        (
            status = 200, description = "The file",
            content((Description = "application/json")),
            headers(
                ("X-Quality" = String, description = "The verdict on the result: good, partial or \
                  failed"),
                ("X-Quality-Reasons" = String, description = "The reasons, separated by commas; \
                  missing if there are none"),
            ),
        ),
        (status = 202, description = "The result is being made", body = Accepted),
        (status = 400, description = "The body is malformed", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 410, description = "The session was deleted before it had a result", body = ErrorBody),
        (status = 413, description = "An image is too large", body = ErrorBody),
        (status = 415, description = "The body is not multipart/form-data", body = ErrorBody),
        (status = 422, description = "A parameter or an image cannot be used, or they need too much memory", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
        (status = 504, description = "The model took too long", body = ErrorBody),
        (status = 507, description = "The disk is full", body = ErrorBody),
    )
)]
pub async fn reconstruct(request: Request<Body>) -> Result<Response, ApiError> {
    let Request {
        app,
        target: mut body,
        query,
        headers,
        ..
    } = request;
    let begun = async {
        let order = Order::read(&app, &query, &headers)?;
        let work = OneShot::begin(&app.system, order.config.clone()).await?;
        Ok((order, work))
    };
    let answered = match begun.await {
        Ok((order, work)) => answer(&app, order, work, &mut body).await,
        // The client has not sent the body yet; it waits for `100 Continue`.
        Err(error) if headers.contains_key(EXPECT) => return Err(error),
        Err(error) => Err(error),
    };
    if answered.is_err() {
        let rest = async { while let Some(Ok(_)) = body.next().await {} };
        // After the timeout, the connection is closed all the same.
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
    answered
}

/// Reads the images, starts the reconstruction, and responds.
async fn answer(
    app: &App,
    order: Order,
    mut work: OneShot,
    body: &mut Body,
) -> Result<Response, ApiError> {
    let mut images = Images::new(body, order.boundary, app.options.receive_timeout);
    let max_bytes = app.system.settings().image_limits.max_bytes;
    while let Some(mut image) = images.next().await? {
        work.check_room()?;
        let (bytes, lease) = image.read(max_bytes, work.memory()).await?;
        work.upload(image.name, bytes, lease).await?;
    }
    work.start().await?;
    if order.asynchronous {
        return Ok(accepted(work, order.format));
    }
    let (result, session) = work.result(|_| {}).await?;
    let file = results::download(session.handle(), order.format).await?;
    let mut response = until_sent(file.whole(), session);
    add_quality(response.headers_mut(), &result.metadata.quality);
    Ok(response)
}

/// Says in headers whether the result can be relied on: most formats have no place for it.
fn add_quality(headers: &mut HeaderMap, quality: &Quality) {
    let verdict = quality.verdict.wire_name();
    headers.insert(QUALITY, HeaderValue::from_static(verdict));
    let reasons: Vec<_> = quality.reasons.iter().map(|one| one.wire_name()).collect();
    if !reasons.is_empty()
        && let Ok(reasons) = HeaderValue::try_from(reasons.join(", "))
    {
        headers.insert(QUALITY_REASONS, reasons);
    }
}

/// 202 with the URLs of the status and the result.
fn accepted(work: OneShot, format: Format) -> Response {
    let id = work.leave();
    let status_url = format!("/ws/session/{id}");
    let body = warp::reply::json(&Accepted {
        session_id: id,
        result_url: format!("{status_url}/result?format={}", format.name()),
        status_url: status_url.clone(),
    });
    let mut response = warp::reply::with_status(body, StatusCode::ACCEPTED).into_response();
    if let Ok(location) = HeaderValue::try_from(status_url) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Keeps the session until the response is sent or the client disconnects.
fn until_sent(response: Response, session: OwnedSession) -> Response {
    let (head, body) = response.into_parts();
    let pieces = body.into_data_stream().inspect(move |_| {
        let _ = &session;
    });
    let mut response = warp::reply::stream(pieces).into_response();
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        let status = match &error {
            MultipartError::NotMultipart => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            MultipartError::Malformed(_) | MultipartError::Broken(_) | MultipartError::LongHead => {
                StatusCode::BAD_REQUEST
            }
            MultipartError::UnknownField(_) | MultipartError::Empty(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            MultipartError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            MultipartError::Stalled => StatusCode::REQUEST_TIMEOUT,
            MultipartError::Busy => return Self::busy(error.to_string()),
        };
        Self::new(status, error.to_string())
    }
}

impl From<OneShotError> for ApiError {
    fn from(error: OneShotError) -> Self {
        let status = match &error {
            OneShotError::Create(_) | OneShotError::Attach(_) => {
                return match error {
                    OneShotError::Create(error) => error.into(),
                    OneShotError::Attach(AttachError::Unanswered(error)) => error.into(),
                    error => Self::internal(&error),
                };
            }
            OneShotError::TooManyImages { .. } | OneShotError::NoImages => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            OneShotError::Image { kind, .. } | OneShotError::Failed { kind, .. } => match kind {
                // Fewer images or a smaller resolution would work.
                ErrorKind::Image | ErrorKind::Message | ErrorKind::OutOfMemory => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                // A session with one client refuses only while the server shuts down.
                ErrorKind::Busy | ErrorKind::Refused => return Self::busy(error.to_string()),
                ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            OneShotError::Ended(reason) => match reason {
                CloseReason::Deleted => StatusCode::GONE,
                CloseReason::Expired => StatusCode::REQUEST_TIMEOUT,
                CloseReason::Failed => StatusCode::INTERNAL_SERVER_ERROR,
                CloseReason::ShuttingDown => return Self::busy(error.to_string()),
            },
        };
        Self::new(status, error.to_string())
    }
}

/// The parameters of a session that gets all photos at once. Photos have no order, so the model
/// takes them together unless the client asks for another way.
fn photo_config(query: &Query, app: &App) -> Result<SessionConfig, ApiError> {
    let config = query.session_config(&app.system.config_limits())?;
    let is_given = query.text("finalize_mode").is_some();
    Ok(match is_given {
        true => config,
        false => SessionConfig {
            finalize_mode: FinalizeMode::Whole,
            ..config
        },
    })
}
