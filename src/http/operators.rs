//! REST for operators: health, versions and limits, metrics, and the actors.

use std::str::FromStr;

use pointstream_actors::{ActorReport, ErrorCode};
use pointstream_reconstruction::image::Format as ImageFormat;
use pointstream_reconstruction::model::{CONTRACT_VERSION, Metadata};
use serde::Serialize;
use strum::VariantArray as _;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::CONTENT_TYPE;
use warp::reply::{Json, Reply, Response};

use super::multipart::Body;
use super::request_body;
use crate::api::{ApiError, ErrorBody, Request};
use crate::auth::{Action, Target};
use crate::metrics;

/// Version of the protocol that the server implements.
pub const PROTOCOL_VERSION: &str = "1.0.0";

/// The process is alive.
#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// Reports that the process is alive.
#[utoipa::path(
    get, path = "/healthz", operation_id = "get_health", tag = "operators",
    responses((status = 200, description = "The process is alive", body = Health))
)]
pub async fn healthz(_: Request) -> Json {
    warp::reply::json(&Health { status: "ok" })
}

/// Whether requests can be served.
#[derive(Serialize, ToSchema)]
pub struct ReadinessReport {
    /// `ready` or `not ready`.
    #[schema(value_type = String)]
    status: &'static str,
    /// Why a worker is not ready or the disk has no space, or null.
    detail: Option<String>,
    /// Which error it is, for programs; missing if the server is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<ErrorCode>,
    /// All workers.
    workers: usize,
    /// Workers with a loaded model.
    ready_workers: usize,
}

/// Reports whether a worker has loaded the model and the disk has space.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readiness", tag = "operators",
    responses(
        (status = 200, description = "A worker is ready, and the disk has space", body = ReadinessReport),
        (status = 503, description = "No worker is ready, or the disk is nearly full", body = ReadinessReport),
    )
)]
pub async fn readyz(request: Request) -> Response {
    let readiness = request.app.system.readiness();
    let disk = request.app.system.check_disk().await;
    let ready = readiness.is_ready() && disk.is_ok();
    let reason = match (disk, readiness.reason) {
        (Err(error), _) => Some(error.to_string()),
        (Ok(()), None) if !ready => Some("no worker has loaded the model yet".to_owned()),
        (Ok(()), reason) => reason,
    };
    let body = warp::reply::json(&ReadinessReport {
        status: if ready { "ready" } else { "not ready" },
        detail: reason,
        code: (!ready).then_some(ErrorCode::NotReady),
        workers: readiness.workers,
        ready_workers: readiness.ready_workers,
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    warp::reply::with_status(body, status).into_response()
}

/// What clients of the original Depth Anything 3 service ask before they use it.
#[derive(Serialize, ToSchema)]
pub struct BackendStatus<'a> {
    /// Whether a worker has loaded the model.
    model_loaded: bool,
    /// Name of the model.
    model_dir: &'a str,
    /// Where the model runs, such as `cpu` or `cuda:0`; several are separated by commas.
    device: String,
    /// Seconds since the server started.
    uptime: f64,
}

/// Reports the model and how long the server has run.
#[utoipa::path(
    get, path = "/status", operation_id = "get_status", tag = "operators",
    responses((status = 200, description = "The model and the uptime", body = BackendStatus))
)]
pub async fn status(request: Request) -> Json {
    let app = request.app;
    let readiness = app.system.readiness();
    warp::reply::json(&BackendStatus {
        model_loaded: readiness.ready_workers > 0,
        model_dir: &app.system.model().name,
        device: readiness.devices.join(", "),
        uptime: app.metrics.uptime().as_secs_f64(),
    })
}

/// Versions, the model, devices and limits of the server.
#[derive(Serialize, ToSchema)]
pub struct Info<'a> {
    /// Name of the program.
    name: &'a str,
    /// Version of the program.
    version: &'a str,
    /// Version of the protocol that the server implements.
    protocol_version: &'a str,
    /// Version of the contract that model archives follow.
    contract_version: u32,
    model: &'a Metadata,
    /// Where the model runs, on this machine and on others.
    devices: Vec<String>,
    workers_per_device: usize,
    inputs: Inputs,
    limits: Limits,
}

/// What the server reads.
#[derive(Serialize, ToSchema)]
struct Inputs {
    /// Formats of images.
    #[schema(value_type = Vec<String>)]
    images: Vec<&'static str>,
    /// Whether `POST /videos/frames` reads videos.
    videos: bool,
}

/// Limits of the server (see the options of the program).
#[derive(Serialize, ToSchema)]
struct Limits {
    /// Maximum number of concurrent sessions.
    max_sessions: usize,
    /// Seconds without activity after which a session ends.
    session_timeout: f64,
    /// Largest `max_images` of a session.
    max_images: u32,
    /// Smallest `process_res` of a session.
    min_process_res: u32,
    /// Largest `process_res` of a session.
    max_process_res: u32,
    /// Largest `num_max_points` of a session.
    num_max_points: u64,
    /// Maximum size of an image file in bytes.
    max_image_bytes: usize,
    /// Maximum number of pixels of an image.
    max_image_pixels: u64,
    /// Maximum size of a message in bytes.
    max_message_bytes: usize,
    /// Maximum number of waiting requests of a session, in addition to the running one.
    max_pending_requests: usize,
    /// Maximum number of WebSockets of a session.
    max_connections: usize,
    /// Maximum number of WebSockets that watch a session.
    max_watchers: usize,
}

/// Reports versions, the model, devices and limits.
#[utoipa::path(
    get, path = "/info", operation_id = "get_info", tag = "operators",
    responses((status = 200, description = "Versions, the model, devices and limits", body = Info))
)]
pub async fn info(request: Request) -> Json {
    let app = request.app;
    let settings = app.system.settings();
    let limits = app.system.config_limits();
    warp::reply::json(&Info {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        protocol_version: PROTOCOL_VERSION,
        contract_version: CONTRACT_VERSION,
        model: app.system.model(),
        devices: app.system.readiness().devices,
        workers_per_device: settings.pool.workers_per_device,
        inputs: Inputs {
            images: ImageFormat::VARIANTS.iter().map(<&str>::from).collect(),
            videos: app.videos.are_read(),
        },
        limits: Limits {
            max_sessions: settings.max_sessions,
            session_timeout: settings.session_timeout.as_secs_f64(),
            max_images: limits.max_images,
            min_process_res: limits.min_process_res,
            max_process_res: limits.max_process_res,
            num_max_points: limits.num_max_points,
            max_image_bytes: settings.image_limits.max_bytes,
            max_image_pixels: settings.image_limits.max_pixels,
            max_message_bytes: app.options.message_limit(),
            max_pending_requests: settings.max_pending_requests,
            max_connections: settings.max_connections,
            max_watchers: settings.max_watchers,
        },
    })
}

/// Reports the tree of running actors.
#[utoipa::path(
    get, path = "/actors", operation_id = "get_actors", tag = "operators",
    security(("token" = ["operate"])),
    responses(
        (status = 200, description = "The supervisor and the actors below it", body = ActorReport),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn actors(request: Request) -> Result<Json, ApiError> {
    let tree = request.app.system.actors().await?;
    Ok(warp::reply::json(&tree))
}

/// Returns all metrics for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "operators",
    security(("token" = ["operate"])),
    responses((
        status = 200, description = "Metrics in the Prometheus text format",
        content_type = "text/plain", body = String,
    ))
)]
pub async fn metrics(request: Request) -> Result<Response, ApiError> {
    if let Err(error) = request.app.system.measure_disk().await {
        tracing::warn!(%error, "cannot measure the disk");
    }
    let others = request.app.system.other_gateways();
    let figures = request.app.metrics;
    figures.gateways.others(others.len());
    // Blocks: reads files in /proc.
    let rendered = tokio::task::spawn_blocking(move || figures.render())
        .await
        .map_err(|error| ApiError::internal(&error))?
        .map_err(|error| ApiError::internal(&error))?;
    let typed = warp::reply::with_header(rendered, CONTENT_TYPE, metrics::CONTENT_TYPE);
    Ok(typed.into_response())
}

/// The response to a successful change.
#[derive(Serialize, ToSchema)]
pub struct Done {
    #[schema(example = true)]
    pub success: bool,
    /// What was done, as readable text.
    pub message: String,
}

/// A worker's number in a URL: digits without a sign or leading zeros, so that it has one spelling.
#[derive(Debug, Clone, Copy)]
pub struct WorkerIndex(usize);

impl FromStr for WorkerIndex {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let index: usize = text.parse().map_err(|_| ())?;
        (index.to_string() == text).then_some(Self(index)).ok_or(())
    }
}

/// Stops a worker and starts it again. Its job runs again.
#[utoipa::path(
    post, path = "/actors/workers/{index}/restart", operation_id = "restart_worker", tag = "operators",
    security(("token" = ["operate"])),
    params(("index" = usize, Path, description = "The worker's number, from 0")),
    responses(
        (status = 200, description = "The worker restarts", body = Done),
        (status = 400, description = "The body breaks off", body = ErrorBody),
        (status = 404, description = "The worker does not exist", body = ErrorBody),
        (status = 408, description = "The body was not received in time", body = ErrorBody),
        (status = 409, description = "The worker is starting already", body = ErrorBody),
        (status = 422, description = "A parameter or a body that there is none of", body = ErrorBody),
        (status = 429, description = "The worker was restarted a moment ago", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn restart_worker(request: Request<(WorkerIndex, Body)>) -> Result<Json, ApiError> {
    let (request, (WorkerIndex(index), body)) = request.take_target();
    request_body::nothing(&request, body).await?;
    request.app.system.restart_worker(index).await?;
    request.did(Action::WorkerRestarted, Target::Worker(index));
    Ok(warp::reply::json(&Done {
        success: true,
        message: format!("Worker {index} restarts"),
    }))
}
