//! `GET /stats`: the main figures of the service, for the dashboard.

use std::collections::BTreeMap;
use std::time::SystemTime;

use pointstream_actors::{ErrorReport, MemoryUse, Quantiles, SessionId};
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Json;

use super::time::unix_seconds;
use crate::api::Request;

/// Returns the main figures of the service. Cheap enough to be polled every second.
#[utoipa::path(
    get, path = "/stats", operation_id = "get_stats", tag = "operators",
    security(("token" = ["operate"])),
    responses((status = 200, description = "The figures", body = Stats))
)]
pub async fn stats(request: Request) -> Json {
    let app = request.app;
    let figures = app.system.metrics();
    let totals = figures.totals();
    let latencies = figures.stage_latencies();
    // Blocks: reads files in /proc.
    let process = app.metrics.clone();
    let resident = tokio::task::spawn_blocking(move || process.resident_bytes()).await;
    warp::reply::json(&Stats {
        time: unix_seconds(SystemTime::now()),
        uptime_seconds: app.metrics.uptime().as_secs_f64(),
        totals: Totals {
            sessions: totals.sessions,
            images: totals.images,
            image_bytes: totals.image_bytes,
            generations_succeeded: totals.generations_succeeded,
            generations_failed: totals.generations_failed,
            generations_cancelled: totals.generations_cancelled,
            messages_received: app.metrics.sockets.messages_received(),
            messages_sent: app.metrics.sockets.messages_sent(),
            bytes_received: app.metrics.network.bytes_received(),
            bytes_sent: app.metrics.network.bytes_sent(),
            worker_restarts: totals.worker_restarts,
            errors: totals.errors,
        },
        latencies: Latencies {
            generations: latencies.generations,
            seconds: latencies
                .stages
                .iter()
                .map(|(stage, quantiles)| (*stage, Seconds::from(quantiles)))
                .collect(),
        },
        memory: MemoryInUse {
            resident_bytes: resident.unwrap_or_default(),
            upload_buffer: Budget::from(figures.upload_memory()),
            feature_cache: Budget::from(figures.feature_memory()),
            decoding: Budget::from(figures.decode_memory()),
            jobs: Budget::from(figures.job_memory()),
        },
        queue: Queue {
            jobs: figures.queued_jobs(),
            capacity: app.system.settings().pool.queue_capacity,
        },
        connections: Connections {
            network: app.metrics.network.open(),
            websockets: app.metrics.sockets.open(),
        },
        errors: figures
            .recent_errors()
            .into_iter()
            .map(Error::from)
            .collect(),
    })
}

/// Figures of the service.
#[derive(Serialize, ToSchema)]
pub struct Stats {
    /// The server's clock, in seconds since 1970-01-01 UTC.
    time: f64,
    /// Seconds since the server started.
    uptime_seconds: f64,
    totals: Totals,
    latencies: Latencies,
    memory: MemoryInUse,
    queue: Queue,
    connections: Connections,
    /// The last 10 errors of each kind, the newest first.
    errors: Vec<Error>,
}

/// Counted since the start.
#[derive(Serialize, ToSchema)]
struct Totals {
    /// Sessions that were created.
    sessions: u64,
    /// Images that were accepted.
    images: u64,
    /// Bytes of these images.
    image_bytes: u64,
    /// Generations that gave a result.
    generations_succeeded: u64,
    /// Generations that ended with an error.
    generations_failed: u64,
    /// Generations that were cancelled because their session ended.
    generations_cancelled: u64,
    /// Messages from clients over WebSockets.
    messages_received: u64,
    /// Messages to clients over WebSockets.
    messages_sent: u64,
    /// Bytes received on all connections.
    bytes_received: u64,
    /// Bytes sent on all connections.
    bytes_sent: u64,
    /// Restarts of workers.
    worker_restarts: u64,
    /// Errors of all kinds.
    errors: u64,
}

/// Durations of the last generations.
#[derive(Serialize, ToSchema)]
struct Latencies {
    /// Number of generations measured, at most 100.
    generations: usize,
    /// By stage (`queued`, `frames`, `encode`, `model`, `cloud`, `glb`, `store`) and `total`; empty
    /// before the first generation.
    #[schema(value_type = BTreeMap<String, Seconds>)]
    seconds: BTreeMap<&'static str, Seconds>,
}

/// Quantiles in seconds.
#[derive(Serialize, ToSchema)]
struct Seconds {
    /// The median.
    p50: f64,
    /// The 95th percentile.
    p95: f64,
}

impl From<&Quantiles> for Seconds {
    fn from(quantiles: &Quantiles) -> Self {
        Self {
            p50: quantiles.p50,
            p95: quantiles.p95,
        }
    }
}

/// Memory in use.
#[derive(Serialize, ToSchema)]
struct MemoryInUse {
    /// Resident memory of the process; null if it cannot be read.
    resident_bytes: Option<u64>,
    upload_buffer: Budget,
    feature_cache: Budget,
    /// What images that are being decoded may take.
    decoding: Budget,
    /// What running jobs of the model on the CPU were promised.
    jobs: Budget,
}

/// A memory budget.
#[derive(Serialize, ToSchema)]
struct Budget {
    /// Bytes in use.
    used_bytes: u64,
    /// Limit in bytes.
    limit_bytes: u64,
}

impl From<MemoryUse> for Budget {
    fn from(memory: MemoryUse) -> Self {
        Self {
            used_bytes: memory.used,
            limit_bytes: memory.limit,
        }
    }
}

/// Jobs that wait for a worker.
#[derive(Serialize, ToSchema)]
struct Queue {
    /// Waiting jobs.
    jobs: u64,
    /// Maximum number of waiting jobs.
    capacity: usize,
}

/// Open connections.
#[derive(Serialize, ToSchema)]
struct Connections {
    /// Network connections, including WebSockets.
    network: u64,
    /// WebSockets.
    websockets: u64,
}

/// A recent error.
#[derive(Serialize, ToSchema)]
#[schema(as = RecentError)]
struct Error {
    /// Time of the error in seconds since 1970-01-01 UTC.
    time: f64,
    /// The kind of error, in one word.
    kind: &'static str,
    /// The session concerned, or null.
    #[schema(value_type = Option<uuid::Uuid>)]
    session_id: Option<SessionId>,
    /// Readable text, truncated if long. May contain text from a client.
    message: String,
}

impl From<ErrorReport> for Error {
    fn from(report: ErrorReport) -> Self {
        Self {
            time: unix_seconds(report.time),
            kind: report.kind.into(),
            session_id: report.session,
            message: report.message,
        }
    }
}
