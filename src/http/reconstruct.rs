//! `POST /reconstruct`: images in, a file out, by a session that ends with the response.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use pointstream_actors::{
    AttachError, CloseReason, ConfigLimits, ErrorCode, ErrorKind, FinalizeMode, OwnedSession,
    Quality, SessionConfig, SessionId, System, Whose,
};
use serde::Serialize;
use sync_wrapper::SyncStream;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue, LOCATION};
use warp::reply::{Reply, Response};

use super::multipart::{self, Body, Images, MultipartError};
use super::refused_body;
use super::results::{self, Description, Format};
use crate::api::headers::{QUALITY, QUALITY_ADVICE, QUALITY_REASONS};
use crate::api::{ApiError, ErrorBody, Query, Request, SESSION_PARAMETERS};
use crate::app::App;
use crate::auth::{Action, Caller, Purpose, Secret, Target};
use crate::entrance::PathPrefix;
use crate::one_shot::{OneShot, OneShotError};
use crate::rates::Pace;

/// Longest time that the end of an answer waits for the end of its session. The session ends all the same;
/// only the removal of its files may take longer, and the client need not wait for that.
const END: Duration = Duration::from_secs(2);

/// The parameters of a request.
struct Order {
    config: SessionConfig,
    format: Format,
    /// Whether to respond before the result exists (`async`).
    asynchronous: bool,
    boundary: String,
    /// Bytes of the body, if the client has said so.
    length: Option<usize>,
}

impl Order {
    fn read(query: &Query, limits: &ConfigLimits, headers: &HeaderMap) -> Result<Self, ApiError> {
        query.only(SESSION_PARAMETERS.into_iter().chain(["format", "async"]))?;
        Ok(Self {
            config: photo_config(query, limits)?,
            format: Format::from_query(query)?,
            asynchronous: query.boolean("async")?.unwrap_or(false),
            boundary: multipart::boundary(headers.get(CONTENT_TYPE))?,
            length: content_length(headers),
        })
    }
}

/// Bytes of the body, if the client has said so.
fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of a request.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "only describes what `multipart` reads as a stream"
)]
struct Photos {
    /// Image files (JPEG, PNG, WebP or HEIC).
    #[schema(value_type = Vec<String>, format = Binary)]
    images: Vec<Vec<u8>>,
}

/// Where to fetch a result that does not exist yet.
#[derive(Serialize, ToSchema)]
pub struct Accepted<'a> {
    /// The session that makes the result.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// A token that gives access to this session alone; missing if no token is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    session_token: Option<&'a str>,
    /// URL of the session's status.
    status_url: String,
    /// URL of the result.
    result_url: String,
}

/// Reconstructs the photos of one request, in a session that ends with the response.
#[utoipa::path(
    post, path = "/reconstruct", operation_id = "reconstruct", tag = "sessions",
    security(("token" = ["create"])),
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
                ("X-Quality-Advice" = String, description = "What to do about them, separated by \
                  semicolons; missing if there are none"),
            ),
        ),
        (status = 202, description = "The result is being made", body = Accepted),
        (status = 400, description = "The body is malformed", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 410, description = "The session was deleted before it had a result", body = ErrorBody),
        (status = 413, description = "An image is too large", body = ErrorBody),
        (status = 415, description = "The body is not multipart/form-data", body = ErrorBody),
        (status = 422, description = "A parameter or an image cannot be used, or they need too much memory", body = ErrorBody),
        (status = 429, description = "The address or the owner of the token has as many sessions as it may have, or creates them too quickly", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
        (status = 504, description = "The model took too long", body = ErrorBody),
        (status = 507, description = "The disk is full", body = ErrorBody),
    )
)]
pub async fn reconstruct(request: Request<Body>) -> Result<Response, ApiError> {
    let creator = request.creator();
    let checked = request.check("/reconstruct");
    let pace = request.pace();
    let from = request.from();
    let limits = request.config_limits();
    let Request {
        app,
        target: mut body,
        query,
        headers,
        caller,
        arrival,
        ..
    } = request;
    let begun = async {
        checked?;
        pace.session()?;
        let order = Order::read(&query, &limits, &headers)?;
        let work = OneShot::begin(&app.system, order.config.clone(), creator).await?;
        let target = Target::Session(work.id());
        app.audit
            .done(Action::SessionCreated, &caller, from, target);
        Ok((order, work))
    };
    let begun: Result<_, ApiError> = begun.await;
    if let Err(error) = &begun
        && error.is_too_many()
    {
        let word = error.code().into();
        app.audit
            .turned_away(word, Some(&caller), from, "/reconstruct");
    }
    let answered = match begun {
        Ok((order, work)) => {
            let id = work.id();
            let answered = answer(
                &app,
                &caller,
                order,
                work,
                &mut body,
                (&pace, &arrival.prefix),
            )
            .await;
            if answered.is_err() {
                end(&app.system, id).await;
            }
            answered
        }
        // The client has not sent the body yet; it waits for `100 Continue`.
        Err(error) if headers.contains_key(EXPECT) => return Err(error),
        Err(error) => Err(error),
    };
    if answered.is_err() {
        refused_body::discard(body, &pace).await;
    }
    answered
}

/// Reads the images, starts the reconstruction, and responds.
async fn answer(
    app: &App,
    caller: &Caller,
    order: Order,
    mut work: OneShot,
    body: &mut Body,
    (pace, prefix): (&Pace, &PathPrefix),
) -> Result<Response, ApiError> {
    let timeout = app.options.receive_timeout;
    let mut images = Images::new(body, order.boundary, order.length, timeout, pace.clone());
    let max_bytes = app.system.settings().image_limits.max_bytes;
    while let Some(mut image) = images.next().await? {
        work.check_room()?;
        let (bytes, lease) = image.read(max_bytes, work.memory()).await?;
        work.upload(image.name, bytes, Some(lease)).await?;
    }
    work.start().await?;
    if order.asynchronous {
        let token = app.auth.session_token(Purpose::Use, caller, work.id());
        return accepted(work, order.format, token.as_ref(), prefix).await;
    }
    let (result, session) = work.result(|_| {}).await?;
    let file = results::download(session.handle(), order.format).await?;
    let mut response = until_sent(app, file.whole(), session);
    add_quality(response.headers_mut(), &result.metadata.quality);
    Ok(response)
}

/// Says in headers whether the result can be relied on: most formats have no place for it.
fn add_quality(headers: &mut HeaderMap, quality: &Quality) {
    let verdict = quality.verdict.wire_name();
    headers.insert(QUALITY, HeaderValue::from_static(verdict));
    let reasons: Vec<_> = quality.reasons.iter().map(|one| one.wire_name()).collect();
    let lists = [
        (QUALITY_REASONS, reasons.join(", ")),
        (QUALITY_ADVICE, quality.advice.join("; ")),
    ];
    for (name, list) in lists {
        if !list.is_empty()
            && let Ok(list) = HeaderValue::try_from(list)
        {
            headers.insert(name, list);
        }
    }
}

/// 202 with the URLs of the status and the result.
async fn accepted(
    work: OneShot,
    format: Format,
    token: Option<&Secret>,
    prefix: &PathPrefix,
) -> Result<Response, ApiError> {
    let id = work.leave().await?;
    let status_url = format!("{prefix}/ws/session/{id}");
    let body = warp::reply::json(&Accepted {
        session_id: id,
        session_token: token.map(Secret::reveal),
        result_url: format!("{status_url}/result?format={}", format.name()),
        status_url: status_url.clone(),
    });
    let mut response = warp::reply::with_status(body, StatusCode::ACCEPTED).into_response();
    if let Ok(location) = HeaderValue::try_from(status_url) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Ends the session of a request, before the client has the whole answer: a client may use its place
/// again at once.
async fn end(system: &System, id: SessionId) {
    // The supervisor logs what it could not remove, and tries again.
    let _ = tokio::time::timeout(END, system.delete_session(id, Whose::Anyones)).await;
}

/// Keeps the session until the response is sent but for its last piece, or the client disconnects.
fn until_sent(app: &App, response: Response, session: OwnedSession) -> Response {
    let (head, body) = response.into_parts();
    let sending = Sending {
        body: body.into_data_stream().boxed(),
        held: None,
        system: app.system.clone(),
        session,
    };
    let pieces = stream::unfold(sending, async |mut sending| {
        Some((sending.next().await?, sending))
    });
    let mut response = warp::reply::stream(SyncStream::new(pieces)).into_response();
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// A response that is being sent.
struct Sending {
    body: Body,
    /// The piece that is sent when it is known whether it is the last one.
    held: Option<Bytes>,
    system: System,
    session: OwnedSession,
}

impl Sending {
    async fn next(&mut self) -> Option<Result<Bytes, warp::Error>> {
        loop {
            match self.body.next().await {
                Some(Ok(piece)) => {
                    if let Some(earlier) = self.held.replace(piece) {
                        return Some(Ok(earlier));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    end(&self.system, self.session.id()).await;
                    return self.held.take().map(Ok);
                }
            }
        }
    }
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        let (status, code) = match &error {
            MultipartError::NotMultipart => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorCode::UnsupportedMediaType,
            ),
            MultipartError::Malformed(_) | MultipartError::Broken(_) | MultipartError::LongHead => {
                (StatusCode::BAD_REQUEST, ErrorCode::InvalidForm)
            }
            MultipartError::UnknownField(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidForm)
            }
            MultipartError::Empty(_) => (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidImage),
            MultipartError::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ImageTooLarge)
            }
            MultipartError::Stalled | MultipartError::Slow => {
                (StatusCode::REQUEST_TIMEOUT, ErrorCode::SendsTooSlowly)
            }
            MultipartError::Busy => return Self::busy(ErrorCode::ServerBusy, error.to_string()),
            MultipartError::TooFast(error) => return (*error).into(),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<OneShotError> for ApiError {
    fn from(error: OneShotError) -> Self {
        let detail = error.to_string();
        match error {
            OneShotError::Create(error) => error.into(),
            OneShotError::Attach(AttachError::Unanswered(error)) => error.into(),
            OneShotError::Attach(error) => Self::internal(&error),
            OneShotError::TooManyImages { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                ErrorCode::TooManyImages,
                detail,
            ),
            OneShotError::NoImages => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                ErrorCode::NoImages,
                detail,
            ),
            OneShotError::Image { code, .. } | OneShotError::Failed { code, .. } => {
                let status = match code.kind() {
                    // Fewer images or a smaller resolution would work.
                    ErrorKind::Image | ErrorKind::Message | ErrorKind::OutOfMemory => {
                        StatusCode::UNPROCESSABLE_ENTITY
                    }
                    // A session with one client refuses only while the server shuts down.
                    ErrorKind::Busy | ErrorKind::Refused => return Self::busy(code, detail),
                    ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
                    ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                Self::new(status, code, detail)
            }
            OneShotError::Ended(reason) => {
                let status = match reason {
                    CloseReason::Deleted => StatusCode::GONE,
                    CloseReason::Expired => StatusCode::REQUEST_TIMEOUT,
                    CloseReason::Failed => StatusCode::INTERNAL_SERVER_ERROR,
                    CloseReason::ShuttingDown | CloseReason::Moved => {
                        return Self::busy(reason.code(), detail);
                    }
                };
                Self::new(status, reason.code(), detail)
            }
        }
    }
}

/// The parameters of a session that gets all photos at once. Photos have no order, so the model
/// takes them together unless the client asks for another way.
fn photo_config(query: &Query, limits: &ConfigLimits) -> Result<SessionConfig, ApiError> {
    let config = query.session_config(limits)?;
    let is_given = query.text("finalize_mode").is_some();
    Ok(match is_given {
        true => config,
        false => SessionConfig {
            finalize_mode: FinalizeMode::Whole,
            ..config
        },
    })
}
