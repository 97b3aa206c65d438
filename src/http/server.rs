//! The network side: accepts connections, within bounds, and serves HTTP on them.

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

/// How long a client may take to send the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest head of a request, and what is buffered of an answer.
const BUFFER: usize = 64 << 10;
/// How often a silent connection is asked whether its other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Pause after a failed accept: the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A bound address that can be served.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes hold of an address. Nothing is answered yet.
    ///
    /// # Errors
    /// If the name does not resolve, or the address is taken or forbidden.
    pub async fn bind(host: &str, port: u16) -> io::Result<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let listener = TcpListener::bind((host, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address with the port that the system picked, if it was to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, then lets the requests at work end.
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
                // The client went away while it waited; the next one did not.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
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

/// Serves one connection until it ends, is upgraded, or no more requests are wanted.
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

/// Bounds what a connection may cost, and counts its bytes.
fn configure(
    stream: TcpStream,
    send_timeout: Duration,
    metrics: &NetworkMetrics,
) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> {
    // A small answer must not wait for the acknowledgement of the one before it.
    let configured = stream.set_nodelay(true).and_then(|()| {
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 4);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)
    });
    if let Err(error) = configured {
        tracing::debug!(%error, "cannot configure a connection");
    }
    let mut stream = TimeoutStream::new(metrics.counted(stream));
    // Time without a byte of progress, so that a slow client is served and a dead one is not.
    stream.set_write_timeout(Some(send_timeout));
    Box::pin(stream)
}
