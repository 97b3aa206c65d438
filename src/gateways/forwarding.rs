//! Passes requests on to the gateway that has their session.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Either, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pointstream_actors::{ErrorCode, GatewayRecord, Location, SessionId, Unanswered};
use sync_wrapper::SyncStream;
use tokio_util::task::AbortOnDropHandle;
use tower::{Layer, Service};
use uuid::Uuid;
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Request, StatusCode, Uri};
use warp::reply::{Reply as _, Response};

use super::peer::{Connection, PeerError};
use super::{Gateways, MEANT, PROOF};
use crate::api::{ApiError, ClientSlot};
use crate::app::App;
use crate::entrance::{Arrival, FOR, HOST, PREFIX, PROTO};

/// How often a request is passed on while its session moves.
const ATTEMPTS: u32 = 3;
/// Headers that concern one connection alone (RFC 9110, section 7.6.1), or that say where a request comes from.
const OWN: [HeaderName; 13] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::FORWARDED,
    FOR,
    HOST,
    PROTO,
    PREFIX,
    PROOF,
];

/// Puts forwarding before a service. Without other gateways it does nothing.
pub fn forward<S: Clone>(app: &App) -> impl Layer<S, Service = Forwarding<S>> + Clone {
    let app = app.clone();
    tower::layer::layer_fn(move |inner| Forwarding {
        inner,
        app: app.clone(),
    })
}

/// A service whose sessions may be at other gateways.
#[derive(Clone)]
pub struct Forwarding<S> {
    inner: S,
    app: App,
}

impl<S> Service<Request<Incoming>> for Forwarding<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let Some(gateways) = self.app.gateways.clone() else {
            return self.inner.call(request).boxed();
        };
        if gateways.wants_all_sessions(&request) {
            let headers = request.headers().clone();
            let own = self.inner.call(request);
            return async move { Ok(gateways.all_sessions(own.await?, &headers).await) }.boxed();
        }
        let Some(session) = session_of(request.uri().path()) else {
            return self.inner.call(request).boxed();
        };
        let clone = self.inner.clone();
        // The one that is ready is called.
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let app = self.app.clone();
        async move {
            match gateways.place(&app, session, request).await {
                Ok(request) => inner.call(request).await,
                Err(answer) => Ok(*answer),
            }
        }
        .boxed()
    }
}

/// The session that a path names.
fn session_of(path: &str) -> Option<SessionId> {
    let rest = path
        .strip_prefix("/ws/session/")
        .or_else(|| path.strip_prefix("/ws/reconstruct/"))?;
    let id = rest.split('/').next()?;
    SessionId::try_parse(id).ok()
}

impl Gateways {
    /// The request again if it is for this gateway, or the answer of another one.
    async fn place(
        &self,
        app: &App,
        session: SessionId,
        request: Request<Incoming>,
    ) -> Result<Request<Incoming>, Box<Response>> {
        if self.recognize(request.headers()) {
            // It is not passed on again.
            let is_here = self.is_meant(request.headers()) && self.system.has_session(session);
            return match is_here {
                true => Ok(request),
                false => Err(Box::new(not_here(self.id))),
            };
        }
        let mut request = Some(request);
        for _ in 0..ATTEMPTS {
            let location = self.system.locate(session).await;
            let gateway = match location {
                Ok(Location::Here | Location::Nowhere) => break,
                Ok(Location::Elsewhere(gateway)) => gateway,
                Err(error) => {
                    tracing::warn!(session_id = %session, %error, "a session is not found");
                    return Err(busy());
                }
            };
            let connection = match self.connect(&gateway).await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(gateway = gateway.address, %error, "another gateway cannot be reached");
                    app.metrics.gateways.failed();
                    if !error.is_refused() {
                        return Err(busy());
                    }
                    self.system.gateway_is_gone(gateway.id);
                    continue;
                }
            };
            let Some(taken) = request.take() else {
                break;
            };
            let (rest, passed) = self.pass(app, &gateway, connection, taken).await;
            match passed {
                Ok(answer) if is_not_here(&answer) => {
                    app.metrics.gateways.failed();
                    if life_of(&answer) != Some(gateway.id) {
                        self.system.gateway_is_gone(gateway.id);
                    }
                }
                Ok(answer) => {
                    app.metrics.gateways.passed();
                    return Err(Box::new(answer));
                }
                Err(error) => {
                    tracing::warn!(gateway = gateway.address, %error, "another gateway does not answer");
                    app.metrics.gateways.failed();
                    return Err(busy());
                }
            }
            request = rest;
        }
        // Without one its body is gone.
        request.ok_or_else(busy)
    }

    /// Sends a request to another gateway. One without a body is returned, so that it can be sent again.
    async fn pass(
        &self,
        app: &App,
        gateway: &GatewayRecord,
        connection: Connection<Passed>,
        request: Request<Incoming>,
    ) -> (Option<Request<Incoming>>, Result<Response, PeerError>) {
        let mut passed = Request::new(());
        *passed.method_mut() = request.method().clone();
        *passed.uri_mut() = path_of(request.uri());
        *passed.headers_mut() = self.headers(gateway, &request);
        let (mut rest, body) = match request.body().is_end_stream() {
            true => (Some(request), Either::Right(Empty::new())),
            false => (None, Either::Left(request.into_body())),
        };
        let answered = connection.send(passed.map(|()| body)).await;
        let answer = answered.map(|(mut answer, driver)| {
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS
                && let Some(request) = &mut rest
            {
                let other = hyper::upgrade::on(&mut answer);
                self.relay(app, request, other, driver);
                return head_of(answer.into_parts().0, true).into_response();
            }
            let (head, body) = answer.into_parts();
            let pieces = body.into_data_stream().map(move |piece| {
                // The connection is kept until all is read.
                let _ = &driver;
                piece
            });
            let mut answer = warp::reply::stream(SyncStream::new(pieces)).into_response();
            let head = head_of(head, false);
            *answer.status_mut() = head.status();
            *answer.headers_mut() = head.into_parts().0.headers;
            answer
        });
        (rest, answer)
    }

    /// The headers for another gateway.
    fn headers(&self, gateway: &GatewayRecord, request: &Request<Incoming>) -> HeaderMap {
        let mut headers = request.headers().clone();
        let upgrade = headers.get(header::UPGRADE).cloned();
        for name in &OWN {
            headers.remove(name);
        }
        if let Some(upgrade) = upgrade {
            headers.insert(header::UPGRADE, upgrade);
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        let mut set = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        set(PROOF, self.proof.clone());
        set(MEANT, gateway.id.to_string());
        if let Some(arrival) = request.extensions().get::<Arrival>() {
            set(FOR, arrival.client.to_string());
            if let Some(scheme) = arrival.scheme {
                set(PROTO, scheme.to_string());
            }
            if let Some(authority) = &arrival.authority {
                set(HOST, authority.to_string());
                set(header::HOST, authority.to_string());
            }
            if !arrival.prefix.is_empty() {
                set(PREFIX, arrival.prefix.to_string());
            }
        }
        headers
    }

    /// Passes the bytes of a socket on in both directions until one side ends it, or this gateway ends.
    fn relay(
        &self,
        app: &App,
        request: &mut Request<Incoming>,
        other: OnUpgrade,
        driver: AbortOnDropHandle<()>,
    ) {
        let client = hyper::upgrade::on(&mut *request);
        let slot = request.extensions().get::<ClientSlot>().cloned();
        let stop = self.stop.clone();
        app.sockets.spawn(async move {
            let relayed = async {
                let (client, other) = tokio::try_join!(client, other).ok()?;
                let (mut client, mut other) = (TokioIo::new(client), TokioIo::new(other));
                tokio::io::copy_bidirectional(&mut client, &mut other)
                    .await
                    .ok()
            };
            tokio::select! {
                _ = relayed => {}
                () = stop.cancelled() => {}
            }
            drop((slot, driver));
        });
    }
}

/// What is sent to another gateway.
type Passed = Either<Incoming, Empty<Bytes>>;

/// The path and the query.
fn path_of(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.map_or_else(Uri::default, Uri::from)
}

/// The head of an answer for a client. One that switches protocols says to which.
fn head_of(
    head: warp::http::response::Parts,
    switches: bool,
) -> warp::http::Response<&'static str> {
    let mut answer = warp::http::Response::new("");
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    if !switches {
        for name in &OWN {
            answer.headers_mut().remove(name);
        }
    }
    answer
}

/// Answers another gateway that takes this one for the owner of a session.
fn not_here(life: Uuid) -> Response {
    let detail = "this server does not have the session";
    let error = ApiError::new(
        StatusCode::MISDIRECTED_REQUEST,
        ErrorCode::SessionNotFound,
        detail,
    );
    let mut answer = error.into_response();
    if let Ok(life) = HeaderValue::try_from(life.to_string()) {
        answer.headers_mut().insert(MEANT, life);
    }
    answer
}

fn is_not_here(answer: &Response) -> bool {
    answer.status() == StatusCode::MISDIRECTED_REQUEST && answer.headers().contains_key(&MEANT)
}

/// The life of the gateway that answers so.
fn life_of(answer: &Response) -> Option<Uuid> {
    let life = answer.headers().get(&MEANT)?.to_str().ok()?;
    life.parse().ok()
}

fn busy() -> Box<Response> {
    Box::new(ApiError::from(Unanswered::Busy).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_sessions_are_known() {
        let id = SessionId::new_v4();
        for path in [
            format!("/ws/session/{id}"),
            format!("/ws/session/{id}/images/0/thumbnail"),
            format!("/ws/reconstruct/{id}"),
        ] {
            assert_eq!(session_of(&path), Some(id), "{path}");
        }
        for path in [
            "/ws/session/create".to_owned(),
            "/ws/sessions".to_owned(),
            format!("/ws/{id}"),
            format!("/{id}"),
            "/".to_owned(),
        ] {
            assert_eq!(session_of(&path), None, "{path}");
        }
    }
}
