//! The network server: accepts a limited number of connections and serves HTTP on them.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceBuilder};
use tower_http::add_extension::AddExtension;
use tower_http::catch_panic::CatchPanicLayer;
use warp::http::{Request, Response};
use warp::reply::Reply;

use super::routes;
use crate::api::{ApiError, ClientSlot};
use crate::app::App;
use crate::metrics::NetworkMetrics;

/// Longest time for a client to send the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head of a request, and most buffered of a response, in bytes.
const BUFFER: usize = 64 << 10;
/// Interval of TCP keepalive on idle connections.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Pause after a failed accept, which happens when the system has no free descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A bound address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
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
        Ok(Self { listener, address })
    }

    /// The address, with the port that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then waits for the running requests.
    pub async fn run(self, app: &App, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(app.options.max_clients));
        let connections = TaskTracker::new();
        let service = ServiceBuilder::new()
            .layer(CatchPanicLayer::custom(|_| {
                ApiError::internal(&"a handler panicked").into_response()
            }))
            .layer(app.options.cors_origins.cors())
            .service(warp::service(routes::routes(app)));
        while let Some((stream, slot)) = next(&self.listener, &slots, &stop).await {
            let slot = ClientSlot::new(slot, app.metrics.network.opened());
            let service = AddExtension::new(service.clone(), slot);
            let stream = configure(stream, app.options.send_timeout, &app.metrics.network);
            let task = serve(stream, service, stop.clone());
            connections.spawn(task);
        }
        drop(self.listener);
        connections.close();
        connections.wait().await;
    }
}

/// The next connection and a free slot for it, or none once `stop` is cancelled.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accepted = async {
        // The semaphore is never closed, so this waits until a slot is free.
        let slot = slots.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, slot)),
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
        accepted = accepted => accepted,
    }
}

/// Serves one connection until it closes, is upgraded, or `stop` is cancelled.
async fn serve<I, S, B>(stream: I, service: S, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Sets the socket's options and write timeout, and counts its bytes.
fn configure(
    stream: TcpStream,
    send_timeout: Duration,
    metrics: &NetworkMetrics,
) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> {
    // Small responses are sent at once, not held back by Nagle's algorithm.
    let configured = stream.set_nodelay(true).and_then(|()| {
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 4);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)
    });
    if let Err(error) = configured {
        tracing::debug!(%error, "cannot set the options of a connection; it is served without them");
    }
    let mut stream = TimeoutStream::new(metrics.counted(stream));
    // The time without any progress: slow clients are served, dead ones are disconnected.
    stream.set_write_timeout(Some(send_timeout));
    Box::pin(stream)
}
