//! From an HTTP request to a WebSocket.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use pointstream_actors::SessionId;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::Instrument;
use warp::http::header::HeaderMap;
use warp::http::{Request, StatusCode};
use warp::reply::{Reply, Response};

use super::connection;
use super::frames::FRAGMENT;
use super::intake::Intake;
use crate::http::{ApiError, App, Connection, Query};

/// Bytes that are read from the network at a time.
const READ_BUFFER: usize = 64 << 10;
/// What may wait for the network: the fragment that is written, and answers to pings.
const WRITE_BUFFER: usize = 4 * FRAGMENT;

/// A WebSocket of a client.
pub type Socket = WebSocketStream<Intake<TokioIo<Upgraded>>>;

/// A request for a socket.
pub struct Handshake {
    /// The session, as the path names it.
    pub session_id: String,
    /// The parameters of the URL.
    pub query: Query,
    /// The request's headers.
    pub headers: HeaderMap,
    /// Gives the connection away once the answer is written.
    pub on_upgrade: Option<OnUpgrade>,
    /// The client's place among those that are served.
    pub connection: Option<Connection>,
}

/// Answers a request for a socket, and serves the socket in a task of its own.
///
/// Whether there is such a session is not looked at here: browsers do not show a page why a
/// handshake failed, but they do show messages and close codes.
pub fn accept(app: &App, handshake: Handshake) -> Result<Response, ApiError> {
    let mut request = Request::new(());
    *request.headers_mut() = handshake.headers;
    let response = create_response(&request).map_err(|error| upgrade_required(&error))?;
    let on_upgrade = handshake
        .on_upgrade
        .ok_or_else(|| upgrade_required(&"the connection cannot be upgraded"))?;

    let mut config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER);
    config.max_message_size = Some(app.options.message_limit());
    config.max_frame_size = config.max_message_size;
    let id = SessionId::try_parse(&handshake.session_id).ok();
    let span = tracing::info_span!("socket", session_id = id.map(tracing::field::display));
    let app_of_task = app.clone();
    let task = async move {
        let _place = handshake.connection;
        match on_upgrade.await {
            Ok(upgraded) => {
                let timeout = app_of_task.options.receive_timeout;
                let io = Intake::new(TokioIo::new(upgraded), timeout);
                let socket = Socket::from_raw_socket(io, Role::Server, Some(config)).await;
                connection::serve(&app_of_task, socket, id, &handshake.query).await;
            }
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    };
    app.sockets.spawn(task.instrument(span));

    let mut reply = StatusCode::SWITCHING_PROTOCOLS.into_response();
    *reply.headers_mut() = response.headers().clone();
    Ok(reply)
}

fn upgrade_required(reason: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(
        StatusCode::UPGRADE_REQUIRED,
        format!("this is a WebSocket endpoint: {reason}"),
    )
}
