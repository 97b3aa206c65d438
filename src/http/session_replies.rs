//! What the server says of sessions.

use pointstream_actors::{
    FinalizeMode, PointOptions, QualitySummary, SessionConfig, SessionId, SessionStatus,
    SessionSummary, Settings,
};
use pointstream_reconstruction::image::ProcessResMethod;
use serde::Serialize;
use utoipa::ToSchema;

use super::time::unix_seconds;
use crate::auth::Secret;
use crate::webhooks::MadeWebhook;

/// The sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionList)]
pub struct List {
    stats: Statistics,
    /// The oldest first.
    sessions: Vec<Listed>,
}

impl List {
    pub fn new(sessions: &[SessionSummary], settings: &Settings) -> Self {
        Self {
            stats: Statistics::new(sessions, settings),
            sessions: sessions.iter().map(Listed::from).collect(),
        }
    }
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
pub struct Created<'a> {
    success: bool,
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// A token that gives access to this session alone; missing if no token is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    session_token: Option<&'a str>,
    created_at: f64,
    max_images: u32,
    config: Config,
    /// The webhook that was asked for; missing if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    webhook: Option<MadeWebhook>,
    /// Images that the session has of another one; missing unless it is run again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    image_count: Option<u32>,
    /// Images of the other one that could not be used or stored; missing unless it is run again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    images_left_out: Option<u32>,
}

/// A token to watch a session.
#[derive(Serialize, ToSchema)]
pub struct WatchToken<'a> {
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// `null` if the server asks nobody for a token.
    watch_token: Option<&'a str>,
}

impl<'a> WatchToken<'a> {
    pub fn new(session_id: SessionId, token: Option<&'a Secret>) -> Self {
        Self {
            session_id,
            watch_token: token.map(Secret::reveal),
        }
    }
}

impl<'a> Created<'a> {
    pub fn new(
        session: &SessionSummary,
        token: Option<&'a Secret>,
        webhook: Option<MadeWebhook>,
    ) -> Self {
        Self {
            success: true,
            session_id: session.id,
            session_token: token.map(Secret::reveal),
            created_at: unix_seconds(session.created_at),
            max_images: session.config.max_images,
            config: Config::from(&session.config),
            webhook,
            image_count: None,
            images_left_out: None,
        }
    }

    /// The session has the images of another one, which had so many.
    pub fn with_images_of_another(self, session: &SessionSummary, images: u32) -> Self {
        let count = session.image_count;
        Self {
            image_count: Some(count),
            images_left_out: Some(images.saturating_sub(count)),
            ..self
        }
    }
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

impl<'a> From<&'a SessionSummary> for Shown<'a> {
    fn from(session: &'a SessionSummary) -> Self {
        Self {
            listed: Listed::from(session),
            max_images: session.config.max_images,
            pending_images: session.pending_images,
            error_message: session.error_message.as_deref(),
            quality: session.quality.as_ref(),
            config: Config::from(&session.config),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use pointstream_actors::{QualityReason, Verdict};
    use serde_json::{Value, json};

    use super::*;
    use crate::api::SESSION_PARAMETERS;

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
        let shown = serde_json::to_value(Shown::from(&session)).expect("serialisable");
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
    fn the_known_parameters_are_those_of_the_configuration() {
        let config = serde_json::to_value(Config::from(&SessionConfig::default())).expect("valid");
        let mut names: Vec<_> = config.as_object().expect("an object").keys().collect();
        let max_images = "max_images".to_owned();
        names.push(&max_images);
        names.sort();
        let mut known = SESSION_PARAMETERS;
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
