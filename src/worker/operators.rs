//! What operators see of a worker process: its health and its metrics.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use pointstream_actors::Node;
use prometheus::TextEncoder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::WorkerError;

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 64;

/// Listens on `HOST:PORT`.
pub async fn bind(address: &str) -> Result<TcpListener, WorkerError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| WorkerError::Listen {
        address: address.to_owned(),
        source,
    })
}

/// Answers until `stop`.
pub async fn serve(listener: TcpListener, node: Arc<Node>, stop: CancellationToken) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening for operators");
    }
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => stream,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of an operator");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (node, stop) = (node.clone(), stop.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let node = node.clone();
                async move { Ok::<_, Infallible>(answer(&request, &node)) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            // A connection that says nothing is closed.
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(std::time::Duration::from_secs(10));
            let serving = builder.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = serving => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

fn answer(request: &Request<Incoming>, node: &Node) -> Response<Full<Bytes>> {
    let status = node.status();
    let (code, kind, body) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "text/plain", "alive\n".to_owned()),
        "/readyz" if status.ready_workers > 0 => {
            (StatusCode::OK, "text/plain", "ready\n".to_owned())
        }
        "/readyz" => {
            let reason = status
                .failure
                .unwrap_or_else(|| "the model is loading".to_owned());
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "text/plain",
                format!("{reason}\n"),
            )
        }
        "/metrics" => {
            let families = node.metrics().registry().gather();
            match TextEncoder::new().encode_to_string(&families) {
                Ok(text) => (StatusCode::OK, prometheus::TEXT_FORMAT, text),
                Err(error) => {
                    let text = format!("{error}\n");
                    (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", text)
                }
            }
        }
        _ => {
            let text = "there are /healthz, /readyz and /metrics\n".to_owned();
            (StatusCode::NOT_FOUND, "text/plain", text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, kind);
    response
}
