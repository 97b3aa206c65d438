//! One network connection: TLS, and HTTP inside.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};
use warp::http::{Request, Response};

use super::stall::Requests;
use crate::metrics::NetworkMetrics;
use crate::tls::{Opened, Tls, TlsStream};

/// Longest time for a client to send the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle client of HTTP/2 may take to confirm the end of the connection.
const LAST_REQUEST: Duration = Duration::from_secs(5);
/// Longest head of a request, and most buffered of a response, in bytes.
const BUFFER: usize = 64 << 10;
/// Interval of TCP keepalive on idle connections, and of pings of HTTP/2.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Requests of a connection at the same time, with HTTP/2.
const STREAMS: u32 = 32;
/// Bytes of a request's body, and of all bodies of a connection, that may wait, with HTTP/2.
const WINDOWS: [u32; 2] = [256 << 10, 1 << 20];

/// A connection that has a place.
pub struct Connection {
    pub stream: TcpStream,
    pub tls: Option<Tls>,
    pub send_timeout: Duration,
    /// Interval of the pings on sockets.
    pub ping_interval: Duration,
    /// Cancelled when the server ends.
    pub stop: CancellationToken,
    /// Cancelled when another connection has got the place.
    pub lost: CancellationToken,
}

impl Connection {
    /// Serves requests until either side ends the connection.
    pub async fn serve<S, B>(self, service: S, metrics: &NetworkMetrics)
    where
        S: HttpService<B>,
        S::Future: Send + 'static,
        B: HttpBody,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self {
            stream,
            tls,
            send_timeout,
            ping_interval,
            stop,
            lost,
        } = self;
        let unreachable = send_timeout.max(2 * ping_interval);
        let configure = |stream| configure(stream, send_timeout, unreachable, metrics);
        let Some(tls) = tls else {
            return serve_http1(configure(stream), service, metrics, stop, lost).await;
        };
        let encrypted = async {
            let made = tokio::select! {
                made = encrypt(tls, stream, configure) => made,
                () = lost.cancelled() => None,
                () = stop.cancelled() => None,
            };
            match made {
                None => {}
                Some(stream) if Tls::chose_http2(&stream) => {
                    serve_http2(stream, service, send_timeout, stop, lost).await;
                }
                Some(stream) => serve_http1(stream, service, metrics, stop, lost).await,
            }
        };
        // Apart, so that connections without TLS take no memory for it. As an object the compiler need
        // not look into it to see that it can be sent.
        let encrypted: BoxFuture<'_, ()> = Box::pin(encrypted);
        encrypted.await;
    }
}

/// Makes the handshake on a connection; `None` if it failed, or the client does not speak TLS.
async fn encrypt<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    tls: Tls,
    stream: TcpStream,
    configure: impl FnOnce(TcpStream) -> I,
) -> Option<Box<TlsStream<I>>> {
    match tls.open(stream, configure).await {
        Ok(Opened::Encrypted(stream)) => Some(stream),
        Ok(Opened::Plain(stream)) => {
            Tls::explain(stream).await;
            None
        }
        Err(error) => {
            tracing::debug!(%error, "a connection failed before its first request");
            None
        }
    }
}

/// Serves HTTP/1.1 until the connection closes, is upgraded, loses its place, or `stop` is cancelled.
async fn serve_http1<I, S, B>(
    stream: I,
    service: S,
    metrics: &NetworkMetrics,
    stop: CancellationToken,
    lost: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService<B>,
    S::Future: Send + 'static,
    B: HttpBody,
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
        () = lost.cancelled() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        if error.is_parse() {
            // The library has answered it: 400, 414 or 431, without a body.
            metrics.malformed();
        }
        tracing::debug!(%error, "connection ended");
    }
}

/// Serves HTTP/2 until the connection closes, loses its place, or `stop` is cancelled, until the client
/// has read none of an answer for `send_timeout`, or until there has been no request for
/// [`HEAD_TIMEOUT`].
async fn serve_http2<I, S, B>(
    stream: I,
    service: S,
    send_timeout: Duration,
    stop: CancellationToken,
    lost: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: HttpService<B>,
    S::Future: Send + 'static,
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let requests = Requests::default();
    let begun = requests.clone();
    let service = service.map_future(move |answering| {
        let running = begun.begin();
        answering.map_ok(|response| response.map(|body| running.watch(body)))
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(HEAD_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(BUFFER as u32)
        .max_send_buf_size(BUFFER)
        .initial_stream_window_size(WINDOWS[0])
        .initial_connection_window_size(WINDOWS[1])
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = lost.cancelled() => return,
        () = requests.stalled(send_timeout) => {
            tracing::debug!("a client reads none of an answer: its connection is closed");
            return;
        }
        () = requests.idle(HEAD_TIMEOUT) => {
            // A request that is on its way is told to take another connection.
            connection.as_mut().graceful_shutdown();
            let left = tokio::time::timeout(LAST_REQUEST, connection.as_mut()).await;
            left.unwrap_or(Ok(()))
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = requests.stalled(send_timeout) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// What answers requests.
pub trait HttpService<B>:
    Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static
{
}

impl<B, S> HttpService<B> for S where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static
{
}

/// The body of an answer.
pub trait HttpBody: Body<Data = Bytes> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> HttpBody for B {}

/// Lets the system end a connection whose other side confirms none of the sent data for so long.
#[cfg(target_os = "linux")]
fn give_up_unreachable(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(target_os = "linux"))]
fn give_up_unreachable(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

/// Sets the socket's options and write timeout, and counts its bytes.
fn configure(
    stream: TcpStream,
    send_timeout: Duration,
    unreachable: Duration,
    metrics: &NetworkMetrics,
) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> {
    // Small responses are sent at once, not held back by Nagle's algorithm.
    let configured = stream.set_nodelay(true).and_then(|()| {
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 4);
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&keepalive)?;
        give_up_unreachable(&socket, unreachable)
    });
    if let Err(error) = configured {
        tracing::debug!(%error, "cannot set the options of a connection; it is served without them");
    }
    let mut stream = TimeoutStream::new(metrics.counted(stream));
    // The time without any progress: slow clients are served, dead ones are disconnected.
    stream.set_write_timeout(Some(send_timeout));
    Box::pin(stream)
}
