//! REST for operators: health, what runs here, and the actors at work.

use pointstream_actors::ActorReport;
use pointstream_reconstruction::model::{CONTRACT_VERSION, Device, Metadata};
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::CONTENT_TYPE;
use warp::reply::{Json, Reply, Response};

use crate::api::{ApiError, ErrorBody, Request};
use crate::metrics;

/// Version of the protocol that is served.
pub const PROTOCOL_VERSION: &str = "1.0.0";

/// The process answers.
#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(value_type = String, example = "ok")]
    status: &'static str,
}

/// Tells that the process answers.
#[utoipa::path(
    get, path = "/healthz", operation_id = "get_health", tag = "operators",
    responses((status = 200, description = "The process answers", body = Health))
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
    /// Why a worker is not ready, or null.
    detail: Option<String>,
    /// Workers altogether.
    workers: usize,
    /// Those with a loaded model.
    ready_workers: usize,
}

/// Tells whether a model is loaded and a worker is up.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readiness", tag = "operators",
    responses(
        (status = 200, description = "A worker is ready", body = ReadinessReport),
        (status = 503, description = "No worker is ready", body = ReadinessReport),
    )
)]
pub async fn readyz(request: Request) -> Response {
    let readiness = request.app.system.readiness();
    let ready = readiness.is_ready();
    let reason = match readiness.reason {
        None if !ready => Some("no worker has loaded the model yet".to_owned()),
        reason => reason,
    };
    let body = warp::reply::json(&ReadinessReport {
        status: if ready { "ready" } else { "not ready" },
        detail: reason,
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

/// What runs here.
#[derive(Serialize, ToSchema)]
pub struct Info<'a> {
    /// Name of the program.
    name: &'a str,
    /// Its version.
    version: &'a str,
    /// Version of the protocol that it serves.
    protocol_version: &'a str,
    /// Version of the contract that models follow.
    contract_version: u32,
    model: &'a Metadata,
    /// Where the model runs.
    #[schema(value_type = Vec<String>)]
    devices: &'a [Device],
    workers_per_device: usize,
    limits: Limits,
}

/// The most that is taken (see the options of the program).
#[derive(Serialize, ToSchema)]
struct Limits {
    /// Sessions at the same time.
    max_sessions: usize,
    /// Seconds without activity after which a session ends.
    session_timeout: f64,
    /// For a session's `max_images`.
    max_images: u32,
    /// For a session's `process_res`: the smallest.
    min_process_res: u32,
    /// For a session's `process_res`: the largest.
    max_process_res: u32,
    /// For a session's `num_max_points`.
    num_max_points: u64,
    /// Bytes of an image file.
    max_image_bytes: usize,
    /// Pixels of an image.
    max_image_pixels: u64,
    /// Bytes of a message.
    max_message_bytes: usize,
    /// Requests that wait in a session beside the one that runs.
    max_pending_requests: usize,
    /// Connections of a session.
    max_connections: usize,
}

/// Tells what runs here: versions, the model, devices and limits.
#[utoipa::path(
    get, path = "/info", operation_id = "get_info", tag = "operators",
    responses((status = 200, description = "What runs here", body = Info))
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
        devices: &settings.devices,
        workers_per_device: settings.workers_per_device,
        limits: Limits {
            max_sessions: settings.max_sessions,
            session_timeout: settings.session_timeout.as_secs_f64(),
            max_images: limits.max_images,
            min_process_res: limits.min_process_res,
            max_process_res: limits.max_process_res,
            num_max_points: limits.num_max_points,
            max_image_bytes: app.options.max_image_bytes,
            max_image_pixels: app.options.max_image_pixels,
            max_message_bytes: app.options.message_limit(),
            max_pending_requests: settings.max_pending_requests,
            max_connections: settings.max_connections,
        },
    })
}

/// Shows the live tree of actors.
#[utoipa::path(
    get, path = "/actors", operation_id = "get_actors", tag = "operators",
    responses(
        (status = 200, description = "The supervisor with all below it", body = ActorReport),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn actors(request: Request) -> Result<Json, ApiError> {
    let tree = request.app.system.actors().await?;
    Ok(warp::reply::json(&tree))
}

/// Gives everything that is counted, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = "operators",
    responses((
        status = 200, description = "Metrics in the Prometheus text format",
        content_type = "text/plain", body = String,
    ))
)]
pub async fn metrics(request: Request) -> Result<Response, ApiError> {
    let figures = request.app.metrics;
    // Reads files of the kernel.
    let rendered = tokio::task::spawn_blocking(move || figures.render())
        .await
        .map_err(|error| ApiError::internal(&error))?
        .map_err(|error| ApiError::internal(&error))?;
    let typed = warp::reply::with_header(rendered, CONTENT_TYPE, metrics::CONTENT_TYPE);
    Ok(typed.into_response())
}

/// Something was done.
#[derive(Serialize, ToSchema)]
pub struct Done {
    #[schema(example = true)]
    pub success: bool,
    /// What was done, for people.
    pub message: String,
}

/// Kills a worker and starts it again; its job is tried once more.
#[utoipa::path(
    post, path = "/actors/workers/{index}/restart", operation_id = "restart_worker", tag = "operators",
    params(("index" = usize, Path, description = "The worker's number, from 0")),
    responses(
        (status = 200, description = "It restarts", body = Done),
        (status = 404, description = "There is no such worker", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn restart_worker(request: Request<usize>) -> Result<Json, ApiError> {
    let (app, index) = (request.app, request.target);
    if !app.system.restart_worker(index).await? {
        let workers = app.system.readiness().workers;
        return Err(ApiError::not_found(format!(
            "there is no worker {index}; this server has {workers}, counted from 0"
        )));
    }
    Ok(warp::reply::json(&Done {
        success: true,
        message: format!("Worker {index} restarts"),
    }))
}
