//! `POST /videos/frames`: a video in, some of its frames out, for clients that cannot play it.

mod answer;
mod errors;
mod receive;

use std::path::PathBuf;
use std::sync::Arc;

use pointstream_actors::{ErrorCode, OutOfRange, Unanswered};
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap};
use warp::reply::Response;

use self::errors::of_files;
use self::receive::{Limits, ReceiveError};
use super::multipart::Body;
use super::refused_body;
use crate::api::schemas::File;
use crate::api::{ApiError, ErrorBody, Query, Request};
use crate::app::App;
use crate::auth::{Action, Target};
use crate::places::network;
use crate::rates::Pace;
use crate::video::{self, Bounds, MOST_FRAMES, MOST_PER_SECOND, Place, Scratch, Source, Wanted};

/// The template of the route.
const ROUTE: &str = "/videos/frames";
/// Frames of a video unless the client asks for others, as on the command line.
const DEFAULT_COUNT: u32 = 20;
/// One frame in about a day.
const LEAST_PER_SECOND: f64 = 1e-5;
/// The beginning of the types of forms with files.
const FORM: &[u8] = b"multipart/";
/// What proxies add to requests.
const OF_PROXIES: [&str; 5] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
];

/// The frames of a video.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes what is sent as a stream")]
struct Frames {
    /// JPEG files, in the order of the video.
    #[schema(value_type = Vec<String>, format = Binary)]
    images: Vec<Vec<u8>>,
}

/// The parameters of a request.
struct Order {
    wanted: Wanted,
    /// Bytes of the body, if the client has said so.
    length: Option<u64>,
}

impl Order {
    fn read(query: &Query, headers: &HeaderMap, app: &App) -> Result<Self, ApiError> {
        query.only(["count", "per_second"])?;
        if is_form(headers) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorCode::UnsupportedMediaType,
                "the body is a form; send the video file itself as the body",
            ));
        }
        let most = app.options.max_images_limit.min(MOST_FRAMES);
        let wanted = match query.float("per_second")? {
            None => {
                let standard = DEFAULT_COUNT.min(most);
                let count = query.bounded("count", standard, 1, most.into())?;
                in_range("count", f64::from(count), 1.0, f64::from(most))?;
                Wanted::Count(count)
            }
            Some(_) if query.text("count").is_some() => {
                return Err(ApiError::invalid(
                    "count does not work with per_second: choose one of them",
                ));
            }
            Some(rate) => {
                in_range("per_second", rate, LEAST_PER_SECOND, MOST_PER_SECOND)?;
                Wanted::PerSecond(rate, most)
            }
        };
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(Self { wanted, length })
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.as_bytes().get(..FORM.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
}

fn in_range(parameter: &'static str, value: f64, min: f64, max: f64) -> Result<(), ApiError> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(OutOfRange {
            parameter,
            value,
            min,
            max,
        }
        .into()),
    }
}

/// Returns frames of the video in the body, evenly spread and the sharp ones among neighbours, as a form whose
/// fields are called images: it can be sent to /reconstruct as it is.
#[utoipa::path(
    post, path = "/videos/frames", operation_id = "read_video_frames", tag = "sessions",
    security(("token" = ["create"]), ("token" = ["use"])),
    params(
        ("count" = Option<u32>, Query, description = "Frames of the whole video, 20 if it is missing; all if \
          the video has fewer"),
        ("per_second" = Option<f64>, Query, description = "Frames of each second, in place of count; never \
          more of a video than the largest max_images"),
    ),
    request_body(content = File, content_type = "application/octet-stream", description = "A video file"),
    responses(
        (status = 200, description = "The frames", body = Frames, content_type = "multipart/form-data"),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 413, description = "The video, or what its frames take, is too large", body = ErrorBody),
        (status = 415, description = "The body is a form", body = ErrorBody),
        (status = 422, description = "A parameter or the video cannot be used", body = ErrorBody),
        (status = 429, description = "The client sends too quickly", body = ErrorBody),
        (status = 501, description = "The server reads no videos", body = ErrorBody),
        (status = 503, description = "The server reads other videos, or shuts down", body = ErrorBody),
        (status = 504, description = "Reading the video took too long", body = ErrorBody),
        (status = 507, description = "The disk is full", body = ErrorBody),
    )
)]
pub async fn frames(request: Request<Body>) -> Result<Response, ApiError> {
    let checked = request.check(ROUTE);
    let pace = request.pace();
    let client = match request.caller.owner() {
        Some(owner) => owner.clone(),
        None => network(request.from()).to_string().into(),
    };
    let (request, mut body) = request.take_target();
    let begun = match checked {
        Ok(()) => begin(&request, client).await,
        Err(error) => Err(error),
    };
    let answered = match begun {
        Ok(work) => work.finish(&request, &mut body, &pace).await,
        // The client has not sent the body yet; it waits for `100 Continue`.
        Err(error) if request.headers.contains_key(EXPECT) => return Err(error),
        Err(error) => Err(error),
    };
    if answered.is_err() {
        refused_body::discard(body, &pace).await;
    }
    answered
}

/// A video that is to be read.
struct Work {
    order: Order,
    place: Place,
    scratch: Scratch,
}

/// Refuses what can be refused before the body is read.
async fn begin(request: &Request, client: Arc<str>) -> Result<Work, ApiError> {
    let (app, videos) = (&request.app, &request.app.videos);
    let has = |name| request.headers.contains_key(name);
    videos.check(OF_PROXIES.into_iter().any(has))?;
    let order = Order::read(&request.query, &request.headers, app)?;
    let most = app.options.videos.max_bytes();
    if order.length.is_some_and(|length| length > most) {
        return Err(ReceiveError::TooLarge(most).into());
    }
    let place = videos.admit(client)?;
    let scratch = videos.scratch().await.map_err(of_files)?;
    let announced = order.length.unwrap_or(0);
    let free = videos.check_free(&scratch, announced).await;
    free.map_err(of_files)?;
    Ok(Work {
        order,
        place,
        scratch,
    })
}

impl Work {
    /// Receives the video, and answers with its frames.
    async fn finish(
        self,
        request: &Request,
        body: &mut Body,
        pace: &Pace,
    ) -> Result<Response, ApiError> {
        let app = &request.app;
        let work = async {
            let limits = Limits {
                bytes: app.options.videos.max_bytes(),
                timeout: app.options.receive_timeout,
            };
            let received = receive::receive(body, (&app.videos, &self.scratch), limits, pace);
            let received = tokio::time::timeout(app.options.pool.job_timeout, received).await;
            received.map_err(|_| ReceiveError::Slow)??;
            request.did(Action::VideoSent, Target::Server);
            self.read(app).await
        };
        let files = tokio::select! {
            files = work => files?,
            () = app.videos.stopped() => return Err(Unanswered::ShuttingDown.into()),
        };
        let longest = app.options.pool.job_timeout;
        let answer = answer::answer(files, (self.scratch, self.place), longest).await;
        answer.map_err(of_files)
    }

    /// Lets ffmpeg read the video.
    async fn read(&self, app: &App) -> Result<Vec<PathBuf>, ApiError> {
        let options = &app.options;
        let bounds = Bounds {
            pixels: options.max_image_pixels,
            frame_bytes: options.videos.max_frame_bytes(),
            reserve: app.videos.reserve(),
            time: options.pool.job_timeout,
        };
        let folder = self.scratch.path();
        let source = Source::sent(folder, bounds);
        let frames = video::frames(&source, self.order.wanted, folder);
        match tokio::time::timeout(options.pool.job_timeout, frames).await {
            Ok(files) => Ok(files?),
            Err(_) => Err(ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorCode::Timeout,
                format!(
                    "reading the video took longer than {} s; send a shorter or smaller one",
                    options.pool.job_timeout.as_secs_f64()
                ),
            )),
        }
    }
}
