//! From an HTTP request to a WebSocket.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pointstream_actors::{DeltasKind, ErrorCode, SessionId};
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::Instrument;
use warp::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use warp::http::{Request as HttpRequest, StatusCode};
use warp::reply::{Reply, Response};

use super::admission::Visitor;
use super::fragments::FRAGMENT;
use super::receive_memory::{MeteredStream, Socket};
use super::socket;
use crate::api::{ApiError, ClientSlot, ErrorBody, Request};
use crate::auth::{self, Needs};

/// Bytes that are read from the network at a time.
const READ_BUFFER: usize = 6 << 10;
/// Bytes that may wait for the network: the current fragment, and answers to pings.
const WRITE_BUFFER: usize = 4 * FRAGMENT;

/// The parts of a request that the handshake needs.
pub struct SocketRequest {
    /// Identifier in the path; it may be invalid.
    session_id: String,
    /// Yields the network connection after the response is written.
    on_upgrade: Option<OnUpgrade>,
    /// The network connection.
    slot: Option<ClientSlot>,
    /// What the client needs to use the socket.
    needs: Needs,
}

impl SocketRequest {
    pub fn new(
        session_id: String,
        on_upgrade: Option<OnUpgrade>,
        slot: Option<ClientSlot>,
        needs: Needs,
    ) -> Self {
        Self {
            session_id,
            on_upgrade,
            slot,
            needs,
        }
    }
}

/// Opens a WebSocket of a session: images in, point clouds out.
///
/// An unknown session and a token that is missing or not valid are reported on the socket, as a
/// message and a close code: browsers do not show a page why a handshake failed.
#[utoipa::path(
    get, path = "/ws/reconstruct/{session_id}", operation_id = "open_websocket", tag = "sessions",
    security(("token" = ["use"]), ("token" = ["watch"])),
    params(
        ("session_id" = uuid::Uuid, Path, description = "The session"),
        ("resume" = Option<bool>, Query, description = "Whether the client receives the answers \
          that an earlier connection missed"),
        ("binary" = Option<bool>, Query, description = "Whether results come as binary messages"),
        ("deltas" = Option<DeltasKind>, Query, description = "Whether a delta has the whole point \
          cloud or what is new; cumulative if it is missing"),
        ("since" = Option<u64>, Query, description = "With deltas=append, the number of the last \
          update that the client has confirmed on an earlier connection"),
        ("watch" = Option<bool>, Query, description = "Whether the client only watches: it changes \
          nothing, and is told of new results"),
    ),
    responses(
        (status = 101, description = "The connection is a WebSocket now; errors come as messages and close codes on it"),
        (status = 426, description = "The request is not a WebSocket handshake", body = ErrorBody),
    )
)]
pub async fn accept(request: Request<SocketRequest>) -> Result<Response, ApiError> {
    let from = request.from();
    let Request {
        app,
        target,
        query,
        headers,
        arrival,
        caller,
        refused,
        ..
    } = request;
    let visitor = Visitor {
        caller,
        refused,
        needs: target.needs,
        from,
        rates: arrival.rates,
        prefix: arrival.prefix,
    };
    let offers_protocol = auth::offers_protocol(&headers);
    let mut handshake = HttpRequest::new(());
    *handshake.headers_mut() = headers;
    let response = create_response(&handshake).map_err(|error| upgrade_required(&error))?;
    let on_upgrade = target
        .on_upgrade
        .ok_or_else(|| upgrade_required(&"the connection cannot be upgraded"))?;

    let mut config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER);
    config.max_message_size = Some(app.options.message_limit());
    config.max_frame_size = config.max_message_size;
    let id = SessionId::try_parse(&target.session_id).ok();
    let span = tracing::info_span!(parent: None, "socket", client = %from, session_id = id.map(tracing::field::display));
    let app_of_task = app.clone();
    let task = async move {
        let _slot = target.slot;
        match on_upgrade.await {
            Ok(upgraded) => {
                let timeout = app_of_task.options.receive_timeout;
                let limit = app_of_task.options.message_limit();
                let io = MeteredStream::new(TokioIo::new(upgraded), limit, timeout);
                // Apart, so that an open socket does not hold its memory.
                let socket =
                    Box::pin(Socket::from_raw_socket(io, Role::Server, Some(config))).await;
                socket::serve(&app_of_task, socket, id, &query, visitor).await;
            }
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    };
    app.sockets.spawn(task.instrument(span));

    let mut reply = StatusCode::SWITCHING_PROTOCOLS.into_response();
    *reply.headers_mut() = response.headers().clone();
    if offers_protocol {
        let protocol = HeaderValue::from_static(auth::PROTOCOL);
        reply.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(reply)
}

fn upgrade_required(reason: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(
        StatusCode::UPGRADE_REQUIRED,
        ErrorCode::UpgradeRequired,
        format!("this is a WebSocket endpoint: {reason}"),
    )
}
