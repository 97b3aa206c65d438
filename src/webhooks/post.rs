//! One attempt to deliver a message: an HTTP request to an address that was checked.
//!
//! The name is looked up once, and the connection goes to an address that was found then, so a name that
//! changes in between leads nowhere else. No redirect is followed and no proxy used.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use pointstream_actors::{Attempt, AttemptOutcome, Letter};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use tokio_util::task::AbortOnDropHandle;
use warp::http::StatusCode;
use warp::http::header::{self, HeaderMap};

use super::addresses::AllowedNetworks;
use super::secret;
use super::url::{BadUrl, ReceiverUrl};
use crate::entrance::Scheme;
use crate::tls;

/// Longest time of an attempt.
const DEADLINE: Duration = Duration::from_secs(20);
/// Longest time until one address is connected; others are tried then.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// Bytes of an answer that are read, and the longest time for it. Nothing in it matters.
const ANSWER: usize = 16 << 10;
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Bytes that are buffered for the head of an answer.
const BUFFER: usize = 16 << 10;

const AGENT: &str = concat!("pointstream/", env!("CARGO_PKG_VERSION"));

/// Delivers messages.
pub struct Post {
    allowed: AllowedNetworks,
    /// Trusts what the system trusts; else why it cannot be told.
    tls: Result<TlsConnector, rustls::Error>,
}

/// There is no answer.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Url(#[from] BadUrl),
    #[error("the name cannot be looked up: {0}")]
    Lookup(std::io::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error("the address is not one of the public internet, and the operator does not allow it")]
    Forbidden,
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
    #[error("the TLS handshake fails: {0}")]
    Tls(std::io::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] warp::http::Error),
    #[error("there is no answer: {0}")]
    Http(#[from] hyper::Error),
}

impl Post {
    /// `allowed` are addresses of webhooks that clients choose, beside public ones.
    pub fn new(allowed: AllowedNetworks) -> Self {
        let tls =
            tls::client_config().map(|config| TlsConnector::from(std::sync::Arc::new(config)));
        if let Err(error) = &tls {
            tracing::warn!(%error, "webhooks with https:// cannot be sent");
        }
        Self { allowed, tls }
    }

    /// Makes one attempt.
    pub async fn deliver(&self, letter: Letter) -> Attempt {
        match tokio::time::timeout(DEADLINE, self.post(&letter)).await {
            Ok(Ok(response)) => answered(response).await,
            Ok(Err(failure)) => {
                let outcome = match failure {
                    Failure::Forbidden => AttemptOutcome::Forbidden,
                    _ => AttemptOutcome::Unreachable,
                };
                Attempt::failed(outcome, failure.to_string())
            }
            Err(_) => {
                let reason = format!("there is no answer within {} s", DEADLINE.as_secs());
                Attempt::failed(AttemptOutcome::TimedOut, reason)
            }
        }
    }

    /// Sends the message, and returns the answer with what keeps its connection.
    async fn post(&self, letter: &Letter) -> Result<Answer, Failure> {
        let url: ReceiverUrl = letter.url.parse()?;
        let stream = self.connect(&url, letter.operators).await?;
        let request = request(&url, letter)?;
        match url.scheme {
            Scheme::Http => exchange(stream, request).await,
            Scheme::Https => {
                let connector = self
                    .tls
                    .as_ref()
                    .map_err(|error| Failure::Setup(error.clone()))?;
                let name = ServerName::try_from(url.host());
                let name = name.map_err(|_| Failure::Url(BadUrl::Form))?;
                let stream = connector
                    .connect(name, stream)
                    .await
                    .map_err(Failure::Tls)?;
                exchange(stream, request).await
            }
        }
    }

    /// Connects to an address of the host. That of the operator may be anywhere.
    async fn connect(&self, url: &ReceiverUrl, operators: bool) -> Result<TcpStream, Failure> {
        let host = url.host();
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, url.port())],
            Err(_) => lookup_host((host.as_str(), url.port()))
                .await
                .map_err(Failure::Lookup)?
                .collect(),
        };
        let allowed = |address: &&SocketAddr| operators || self.allowed.allow(address.ip());
        let mut failure = match found.first() {
            None => Failure::NoAddress,
            Some(_) => Failure::Forbidden,
        };
        for address in found.iter().filter(allowed).take(ADDRESSES) {
            let connected = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await;
            let timed_out = || std::io::Error::from(std::io::ErrorKind::TimedOut);
            match connected.unwrap_or_else(|_| Err(timed_out())) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Failure::Connect(error),
            }
        }
        Err(failure)
    }
}

/// The signed request, as of now.
fn request(url: &ReceiverUrl, letter: &Letter) -> Result<Request<Full<Bytes>>, warp::http::Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let timestamp = since.unwrap_or_default().as_secs();
    let signatures = secret::signatures(&letter.secrets, &letter.id, timestamp, &letter.body);
    Request::post(&url.path)
        .header(header::HOST, url.authority.to_string())
        .header(header::USER_AGENT, AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header("webhook-id", &letter.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signatures)
        .body(Full::from(letter.body.clone()))
}

/// An answer, and the task of its connection.
type Answer = (Response<Incoming>, AbortOnDropHandle<()>);

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // The answer, or its lack, says all.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await?;
    Ok((response, connection))
}

async fn answered((response, _connection): Answer) -> Attempt {
    let (head, body) = response.into_parts();
    // So that the receiver can end its answer; what becomes of it does not matter.
    let rest = Limited::new(body, ANSWER).collect();
    let _ = tokio::time::timeout(ANSWER_TIME, rest).await;
    let outcome = match head.status {
        status if status.is_success() => AttemptOutcome::Delivered,
        StatusCode::GONE => AttemptOutcome::Gone,
        _ => AttemptOutcome::Refused,
    };
    let delivered = outcome == AttemptOutcome::Delivered;
    Attempt {
        outcome,
        status: Some(head.status.as_u16()),
        reason: (!delivered).then(|| match head.status.is_redirection() {
            true => "redirects are not followed; change the URL of the webhook".to_owned(),
            false => format!("the receiver answered {}", head.status),
        }),
        retry_after: retry_after(&head.headers, SystemTime::now()),
    }
}

/// `Retry-After`: seconds, or a time.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text)
        .ok()?
        .duration_since(now)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_when_to_ask_again_in_two_ways() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let found = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().expect("a value"));
            retry_after(&headers, now)
        };
        assert_eq!(found(" 120"), Some(Duration::from_secs(120)));
        let date = found("Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(date, Some(Duration::from_secs(60)));
        for text in ["soon", "-1", "Sun, 06 Nov 1994 08:40:37 GMT"] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
