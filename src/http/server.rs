//! The network server: accepts a limited number of connections and serves HTTP on them.

use std::any::Any;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pointstream_actors::ErrorCode;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceBuilder;
use tower_http::add_extension::AddExtension;
use tower_http::catch_panic::CatchPanicLayer;
use warp::reply::Reply;

use super::connection::Connection;
use super::routes::{self, Door};
use crate::api::{ApiError, ClientSlot};
use crate::app::App;
use crate::entrance::{Entrance, Peer, Scheme, TOO_MANY_CONNECTIONS, guard};
use crate::gateways::forward;
use crate::places::{Limits, NoPlace, Place, Places};
use crate::tls::Tls;

/// Pause after a failed accept, which happens when the system has no free descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A bound address.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Server {
    /// Binds an address, without accepting connections.
    ///
    /// # Errors
    /// If the name does not resolve, or the address is in use or not permitted.
    pub async fn bind(host: &str, port: u16) -> io::Result<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let listener = TcpListener::bind((host, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            tls: None,
        })
    }

    /// Serves HTTPS instead of HTTP.
    pub fn encrypted(self, tls: Tls) -> Self {
        let tls = Some(tls);
        Self { tls, ..self }
    }

    /// How clients reach it without a proxy.
    pub fn scheme(&self) -> Scheme {
        match self.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        }
    }

    /// The address, with the port that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then waits for the running requests.
    pub async fn run(self, app: &App, door: Door, limits: Limits, stop: CancellationToken) {
        let places = Places::new(limits);
        let connections = TaskTracker::new();
        let entrance = Arc::new(Entrance::new(app));
        let service = ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(panicked))
            .layer(guard(app, entrance.clone()))
            .layer(forward(app))
            .layer(entrance.origins().cors())
            .service(warp::service(routes::routes(app, door)));
        while let Some((stream, address)) = next(&self.listener, &stop).await {
            let place = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                place = place_of(&places, address, entrance.is_proxy(address)) => place,
            };
            let Some(place) = place else {
                app.metrics.network.refused();
                if self.tls.is_none() {
                    refuse(&stream);
                }
                continue;
            };
            let lost = place.lost().clone();
            let peer = Peer {
                address,
                tls: self.tls.is_some(),
            };
            let slot = ClientSlot::new(place, app.metrics.network.opened(), peer);
            let service = AddExtension::new(service.clone(), slot);
            let connection = Connection {
                stream,
                tls: self.tls.clone(),
                send_timeout: app.options.send_timeout,
                ping_interval: app.options.ping_interval,
                stop: stop.clone(),
                lost,
            };
            let metrics = app.metrics.clone();
            connections.spawn(async move { connection.serve(service, &metrics.network).await });
        }
        drop(self.listener);
        connections.close();
        connections.wait().await;
    }
}

/// The answer to a request whose handler panicked.
fn panicked(_: Box<dyn Any + Send>) -> warp::reply::Response {
    ApiError::internal(&"a handler panicked").into_response()
}

/// The next connection and the address of its client, or none once `stop` is cancelled.
async fn next(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, IpAddr)> {
    let accepted = async {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => return (stream, address.ip()),
                // This client disconnected while it waited; take the next one.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection; if it repeats, raise the limit of open files");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accepted => Some(accepted),
    }
}

/// A place for a connection from this address. Waits while all are taken; `None` if the address has
/// its share. The clients behind a proxy are known only when they ask.
async fn place_of(places: &Places, address: IpAddr, proxy: bool) -> Option<Place> {
    loop {
        let taken = match proxy {
            true => places.take_for_proxy(address),
            false => places.take(address),
        };
        match taken {
            Ok(place) => return Some(place),
            Err(NoPlace::Address) => return None,
            Err(NoPlace::Full) => places.freed().await,
        }
    }
}

/// Answers a connection that has no place, without reading from it or waiting for it.
fn refuse(stream: &TcpStream) {
    let body = format!(
        r#"{{"detail": "{TOO_MANY_CONNECTIONS}", "code": "{}"}}"#,
        ErrorCode::TooManyClients
    );
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nRetry-After: 10\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The socket's empty buffer takes it at once, or the connection is gone.
    let _ = stream.try_write(answer.as_bytes());
}
