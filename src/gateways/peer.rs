//! Requests from one gateway to another.

use std::io;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls;
use tokio_util::task::AbortOnDropHandle;
use warp::http::{Request, Response};

use super::BadGatewayUrl;

/// Longest time until another gateway is connected.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest head of an answer, in bytes.
const BUFFER: usize = 64 << 10;

/// Another gateway does not answer.
#[derive(Debug, Error)]
pub enum PeerError {
    #[error(transparent)]
    Address(BadGatewayUrl),
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    #[error("cannot set up TLS: {0}")]
    Tls(rustls::Error),
    #[error("there is no answer: {0}")]
    Http(#[from] hyper::Error),
}

impl PeerError {
    /// Whether nothing listens at its address.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// Something that belongs to connecting.
pub async fn within<T>(connecting: impl Future<Output = io::Result<T>>) -> Result<T, PeerError> {
    let connected = tokio::time::timeout(CONNECT, connecting).await;
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    Ok(connected.unwrap_or_else(|_| Err(late()))?)
}

/// A connection to another gateway, for one request.
pub struct Connection<B> {
    sender: SendRequest<B>,
    driver: AbortOnDropHandle<()>,
}

impl<B> Connection<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, PeerError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // The answer, or its lack, says all.
            let _ = connection.with_upgrades().await;
        });
        Ok(Self {
            sender,
            driver: AbortOnDropHandle::new(driver),
        })
    }

    /// The answer, and what keeps the connection until its body is read.
    pub async fn send(
        mut self,
        request: Request<B>,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), PeerError> {
        Ok((self.sender.send_request(request).await?, self.driver))
    }
}
