//! `POST /reconstruct`: images in, a file out. A session underneath, which ends with the answer.

use std::time::Duration;

use futures_util::StreamExt;
use http_body_util::BodyExt;
use pointstream_actors::{
    AttachError, CloseReason, ErrorKind, OwnedSession, SessionConfig, SessionId,
};
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue, LOCATION};
use warp::reply::{Reply, Response};

use super::multipart::{self, Body, Images, MultipartError};
use super::results::{self, Description, Format};
use crate::api::{ApiError, ErrorBody, Query, Request};
use crate::app::App;
use crate::one_shot::{OneShot, OneShotError};

/// How long the rest of a body that is not wanted is read: a client that is still sending when the
/// connection is closed may never see why.
const LINGER: Duration = Duration::from_secs(5);

/// What a client asks for.
struct Wish {
    config: SessionConfig,
    format: Format,
    /// Whether it comes back for the result.
    later: bool,
    boundary: String,
}

impl Wish {
    fn read(app: &App, query: &Query, headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self {
            config: query.session_config(&app.system.config_limits())?,
            format: Format::from_query(query)?,
            later: query.boolean("async")?.unwrap_or(false),
            boundary: multipart::boundary(headers.get(CONTENT_TYPE))?,
        })
    }
}

/// Photos of one request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says what `multipart` reads")]
struct Photos {
    /// Image files (JPEG, PNG or WebP).
    #[schema(value_type = Vec<String>, format = Binary)]
    images: Vec<Vec<u8>>,
}

/// Where to ask for a result that is not there yet.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// The session that makes it.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Tells how far it is.
    status_url: String,
    /// Gives the result.
    result_url: String,
}

/// Makes a point cloud of the photos of one request, in a session that ends with the answer.
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
        ),
        (status = 202, description = "It is being made", body = Accepted),
        (status = 400, description = "The body is broken", body = ErrorBody),
        (status = 408, description = "The body does not come", body = ErrorBody),
        (status = 410, description = "The session was deleted meanwhile", body = ErrorBody),
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
        let wish = Wish::read(&app, &query, &headers)?;
        let work = OneShot::begin(&app.system, wish.config.clone()).await?;
        Ok((wish, work))
    };
    let answered = match begun.await {
        Ok((wish, work)) => answer(&app, wish, work, &mut body).await,
        // It has sent nothing yet and waits for our word.
        Err(error) if headers.contains_key(EXPECT) => return Err(error),
        Err(error) => Err(error),
    };
    if answered.is_err() {
        let rest = async { while let Some(Ok(_)) = body.next().await {} };
        // Its time is up: then the client is cut off.
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
    answered
}

/// Reads the images and has them reconstructed.
async fn answer(
    app: &App,
    wish: Wish,
    mut work: OneShot,
    body: &mut Body,
) -> Result<Response, ApiError> {
    let options = &app.options;
    let mut images = Images::new(body, wish.boundary, options.receive_timeout);
    while let Some(mut image) = images.next().await? {
        work.check_room()?;
        let (bytes, lease) = image.read(options.max_image_bytes, work.memory()).await?;
        work.upload(image.name, bytes, lease).await?;
    }
    work.start().await?;
    if wish.later {
        return Ok(accepted(work, wish.format));
    }
    let (_, session) = work.result(|_| {}).await?;
    let file = results::download(session.handle(), wish.format).await?;
    Ok(until_sent(file.whole(), session))
}

/// 202: where to ask how far it is, and for the result.
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

/// Has the session end when the answer is sent, or when the client does not want it any more.
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
                // Fewer images or a smaller resolution would do.
                ErrorKind::Image | ErrorKind::Message | ErrorKind::OutOfMemory => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                // Of a session that has one client nothing but the server's end makes it refuse.
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
