//! REST: creates, lists, shows and deletes sessions.

use pointstream_actors::{
    FinalizeMode, PointOptions, QualitySummary, SessionConfig, SessionHandle, SessionId,
    SessionStatus, SessionSummary, Settings,
};
use pointstream_reconstruction::image::ProcessResMethod;
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Json;

use super::operators::Done;
use super::time::unix_seconds;
use crate::api::{ApiError, ErrorBody, Request};
use crate::app::App;

/// Creates a session.
#[utoipa::path(
    post, path = "/ws/session/create", operation_id = "create_session", tag = "sessions",
    responses(
        (status = 200, description = "The session", body = Created),
        (status = 422, description = "A parameter is invalid", body = ErrorBody),
        (status = 503, description = "The maximum of sessions is reached, or the server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn create(request: Request) -> Result<Json, ApiError> {
    let app = request.app;
    let config = request.query.session_config(&app.system.config_limits())?;
    // If the client disconnects before it knows the session, the session ends.
    let owned = app.system.create_session(config).await?;
    let session = owned.handle().summary().await?;
    owned.keep();
    Ok(warp::reply::json(&Created {
        success: true,
        session_id: session.id,
        created_at: unix_seconds(session.created_at),
        max_images: session.config.max_images,
        config: Config::from(&session.config),
    }))
}

/// Shows a session.
#[utoipa::path(
    get, path = "/ws/session/{session_id}", operation_id = "get_session", tag = "sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = Shown),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn show(request: Request<String>) -> Result<Json, ApiError> {
    let session = find(&request.app, &request.target).await?.summary().await?;
    Ok(warp::reply::json(&Shown {
        listed: Listed::from(&session),
        max_images: session.config.max_images,
        pending_images: session.pending_images,
        error_message: session.error_message.as_deref(),
        quality: session.quality.as_ref(),
        config: Config::from(&session.config),
    }))
}

/// Ends a session and removes its files; responds after that.
#[utoipa::path(
    delete, path = "/ws/session/{session_id}", operation_id = "delete_session", tag = "sessions",
    params(("session_id" = uuid::Uuid, Path, description = "The session")),
    responses(
        (status = 200, description = "The session has ended", body = Done),
        (status = 404, description = "The session does not exist", body = ErrorBody),
        (status = 500, description = "The session has ended, but its files could not be removed yet", body = ErrorBody),
        (status = 503, description = "The session ends, but its files are not removed yet", body = ErrorBody),
    )
)]
pub async fn delete(request: Request<String>) -> Result<Json, ApiError> {
    let id = parse_id(&request.target)?;
    request.app.system.delete_session(id).await?;
    Ok(warp::reply::json(&Done {
        success: true,
        message: format!("Session {id} deleted"),
    }))
}

/// Lists the sessions, the oldest first, with statistics.
#[utoipa::path(
    get, path = "/ws/sessions", operation_id = "list_sessions", tag = "sessions",
    responses(
        (status = 200, description = "The sessions", body = List),
        (status = 503, description = "The server is busy or shuts down", body = ErrorBody),
    )
)]
pub async fn list(request: Request) -> Result<Json, ApiError> {
    let app = request.app;
    let sessions = app.system.sessions().await?;
    Ok(warp::reply::json(&List {
        stats: Statistics::new(&sessions, app.system.settings()),
        sessions: sessions.iter().map(Listed::from).collect(),
    }))
}

/// The session that a path names.
///
/// # Errors
/// 404, also for an invalid identifier; 503 if the server is too busy.
pub async fn find(app: &App, id: &str) -> Result<SessionHandle, ApiError> {
    Ok(app.system.session(parse_id(id)?).await?)
}

fn parse_id(id: &str) -> Result<SessionId, ApiError> {
    SessionId::try_parse(id).map_err(|_| ApiError::session_not_found())
}

/// The sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionList)]
pub struct List {
    stats: Statistics,
    /// The oldest first.
    sessions: Vec<Listed>,
}

/// Totals of all sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionStatistics)]
struct Statistics {
    total_sessions: usize,
    /// Sessions whose status is `active`.
    active_sessions: usize,
    /// Sessions whose status is `processing`.
    processing_sessions: usize,
    max_sessions: usize,
    /// Images of all sessions.
    total_images: u64,
    /// Seconds without activity after which a session ends.
    session_timeout: f64,
}

impl Statistics {
    fn new(sessions: &[SessionSummary], settings: &Settings) -> Self {
        let count = |status: SessionStatus| {
            sessions
                .iter()
                .filter(|session| session.status == status)
                .count()
        };
        Self {
            total_sessions: sessions.len(),
            active_sessions: count(SessionStatus::Active),
            processing_sessions: count(SessionStatus::Processing),
            max_sessions: settings.max_sessions,
            total_images: sessions
                .iter()
                .map(|session| u64::from(session.image_count))
                .sum(),
            session_timeout: settings.session_timeout.as_secs_f64(),
        }
    }
}

/// A new session.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedSession)]
pub struct Created {
    success: bool,
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    created_at: f64,
    max_images: u32,
    config: Config,
}

/// The parameters of a session without `max_images`.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionParameters)]
pub struct Config {
    process_res: u32,
    process_res_method: ProcessResMethod,
    conf_thresh_percentile: f64,
    num_max_points: u64,
    show_cameras: bool,
    /// Frames of one run of the model; 0 if the service chooses.
    window: u32,
    finalize_mode: FinalizeMode,
    #[serde(flatten)]
    points: PointOptions,
}

impl From<&SessionConfig> for Config {
    fn from(config: &SessionConfig) -> Self {
        Self {
            process_res: config.process_res,
            process_res_method: config.process_res_method,
            conf_thresh_percentile: config.conf_thresh_percentile,
            num_max_points: config.num_max_points,
            show_cameras: config.show_cameras,
            window: config.window,
            finalize_mode: config.finalize_mode,
            points: config.points,
        }
    }
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionOverview)]
pub struct Listed {
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Seconds since 1970-01-01 UTC.
    created_at: f64,
    /// Seconds since 1970-01-01 UTC.
    last_activity: f64,
    status: SessionStatus,
    /// Stored images.
    image_count: u32,
    /// Bytes of the stored image files.
    image_bytes: u64,
    /// Open WebSockets.
    connections: usize,
    /// Running and waiting requests for point clouds.
    requests: usize,
    has_result: bool,
}

impl From<&SessionSummary> for Listed {
    fn from(session: &SessionSummary) -> Self {
        Self {
            session_id: session.id,
            created_at: unix_seconds(session.created_at),
            last_activity: unix_seconds(session.last_activity),
            status: session.status,
            image_count: session.image_count,
            image_bytes: session.image_bytes,
            connections: session.connections,
            requests: session.requests,
            has_result: session.has_result,
        }
    }
}

/// A session with its parameters.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct Shown<'a> {
    #[serde(flatten)]
    listed: Listed,
    max_images: u32,
    /// Images that were received and are not stored yet.
    pending_images: usize,
    /// The error of the last generation, or null.
    error_message: Option<&'a str>,
    /// The verdict on the newest result, or null.
    quality: Option<&'a QualitySummary>,
    config: Config,
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use pointstream_actors::{QualityReason, Verdict};
    use serde_json::{Value, json};

    use super::*;

    fn summary(status: SessionStatus) -> SessionSummary {
        SessionSummary {
            id: SessionId::nil(),
            created_at: UNIX_EPOCH + std::time::Duration::from_millis(1500),
            last_activity: UNIX_EPOCH + std::time::Duration::from_secs(2),
            status,
            image_count: 5,
            pending_images: 2,
            image_bytes: 1000,
            config: SessionConfig::default(),
            connections: 1,
            requests: 0,
            has_result: true,
            quality: Some(QualitySummary {
                verdict: Verdict::Partial,
                reasons: vec![QualityReason::TooDark],
            }),
            error_message: None,
        }
    }

    #[test]
    fn a_session_has_the_fields_of_the_protocol() {
        let session = summary(SessionStatus::Active);
        let shown = serde_json::to_value(Shown {
            listed: Listed::from(&session),
            max_images: session.config.max_images,
            pending_images: session.pending_images,
            error_message: None,
            quality: session.quality.as_ref(),
            config: Config::from(&session.config),
        })
        .expect("serialisable");
        assert_eq!(shown["session_id"], SessionId::nil().to_string());
        assert_eq!(shown["created_at"], 1.5);
        assert_eq!(shown["last_activity"], 2.0);
        assert_eq!(shown["status"], "active");
        assert_eq!(shown["image_count"], 5);
        assert_eq!(shown["max_images"], 100);
        assert_eq!(shown["pending_images"], 2);
        assert_eq!(shown["error_message"], Value::Null);
        let quality = json!({"verdict": "partial", "reasons": ["too_dark"]});
        assert_eq!(shown["quality"], quality);
    }

    #[test]
    fn the_configuration_has_the_names_of_the_protocol() {
        let config = serde_json::to_value(Config::from(&SessionConfig::default())).expect("valid");
        let expected = json!({
            "process_res": 504,
            "process_res_method": "upper_bound_resize",
            "conf_thresh_percentile": 10.0,
            "num_max_points": 10_000_000,
            "show_cameras": true,
            "window": 0,
            "finalize_mode": "auto",
            "filter_edges": false,
            "voxel_size": 0.0,
            "filter_black_bg": false,
            "filter_white_bg": false,
            "glb_compression": "none",
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn invalid_identifiers_are_not_found() {
        assert_eq!(parse_id("../../etc"), Err(ApiError::session_not_found()));
        assert!(parse_id("67e55044-10b1-426f-9247-bb680e5fe0c8").is_ok());
    }
}
