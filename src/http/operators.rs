//! REST for operators: health, what runs here, and the actors at work.

use pointstream_reconstruction::model::CONTRACT_VERSION;
use serde_json::json;
use warp::http::StatusCode;
use warp::http::header::CONTENT_TYPE;
use warp::reply::{Json, Reply, Response};

use super::{ApiError, App};
use crate::metrics;

/// Version of the protocol that is served.
const PROTOCOL_VERSION: &str = "1.0.0";

/// `GET /healthz`: the process answers.
pub fn healthz() -> Json {
    warp::reply::json(&json!({ "status": "ok" }))
}

/// `GET /readyz`: a model is loaded and a worker is up.
pub fn readyz(app: &App) -> Response {
    let readiness = app.system.readiness();
    let ready = readiness.is_ready();
    let reason = match readiness.reason {
        None if !ready => Some("no worker has loaded the model yet".to_owned()),
        reason => reason,
    };
    let body = warp::reply::json(&json!({
        "status": if ready { "ready" } else { "not ready" },
        "detail": reason,
        "workers": readiness.workers,
        "ready_workers": readiness.ready_workers,
    }));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    warp::reply::with_status(body, status).into_response()
}

/// `GET /info`
pub fn info(app: &App) -> Json {
    let settings = app.system.settings();
    let limits = app.system.config_limits();
    warp::reply::json(&json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "protocol_version": PROTOCOL_VERSION,
        "contract_version": CONTRACT_VERSION,
        "model": app.system.model(),
        "devices": settings.devices,
        "workers_per_device": settings.workers_per_device,
        "limits": {
            "max_sessions": settings.max_sessions,
            "session_timeout": settings.session_timeout.as_secs_f64(),
            "max_images": limits.max_images,
            "min_process_res": limits.min_process_res,
            "max_process_res": limits.max_process_res,
            "num_max_points": limits.num_max_points,
            "max_image_bytes": app.options.max_image_bytes,
            "max_image_pixels": app.options.max_image_pixels,
            "max_message_bytes": app.options.message_limit(),
            "max_pending_requests": settings.max_pending_requests,
            "max_connections": settings.max_connections,
        },
    }))
}

/// `GET /actors`
pub async fn actors(app: App) -> Result<Json, ApiError> {
    let shutting_down =
        || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server is shutting down");
    let tree = app.system.actors().await.ok_or_else(shutting_down)?;
    Ok(warp::reply::json(&tree))
}

/// `GET /metrics`: everything that is counted, for Prometheus.
pub async fn metrics(app: App) -> Result<Response, ApiError> {
    // Reads files of the kernel.
    let rendered = tokio::task::spawn_blocking(move || app.metrics.render())
        .await
        .map_err(|error| ApiError::internal(&error))?
        .map_err(|error| ApiError::internal(&error))?;
    let typed = warp::reply::with_header(rendered, CONTENT_TYPE, metrics::CONTENT_TYPE);
    Ok(typed.into_response())
}

/// `POST /actors/workers/{index}/restart`
pub async fn restart_worker(app: App, index: usize) -> Result<Json, ApiError> {
    if !app.system.restart_worker(index).await {
        let workers = app.system.readiness().workers;
        return Err(ApiError::not_found(format!(
            "there is no worker {index}; this server has {workers}, counted from 0"
        )));
    }
    Ok(warp::reply::json(&json!({
        "success": true,
        "message": format!("Worker {index} restarts"),
    })))
}
