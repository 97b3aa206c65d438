//! Requests over HTTP, one connection for each.
//!
//! Requests are few, and the large data go over the socket, so there are no connections to keep.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::error::Error;
use crate::refusal::Refusal;
use crate::retry::Retry;
use crate::transport::{Transport, credentials};

/// The longest answer that is no result, in bytes.
pub(crate) const LONGEST_REPLY: usize = 64 << 20;
const LONGEST_REFUSAL: usize = 1 << 20;
/// After these nothing has happened on the server, so any request may be sent again.
const NOT_BEGUN: [u16; 2] = [429, 503];

/// A request.
pub(crate) struct Call {
    method: Method,
    path: String,
    token: Option<String>,
    query: Vec<(String, String)>,
    body: Option<Value>,
    longest: usize,
}

impl Call {
    pub fn new(method: Method, path: String, token: Option<&str>) -> Self {
        Self {
            method,
            path,
            token: token.map(str::to_owned),
            query: Vec::new(),
            body: None,
            longest: LONGEST_REPLY,
        }
    }

    pub fn query(mut self, query: Vec<(String, String)>) -> Self {
        self.query = query;
        self
    }

    pub fn body(mut self, body: Option<Value>) -> Self {
        self.body = body;
        self
    }

    /// How many bytes the answer may have.
    pub fn longest(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }
}

/// Requests to one server.
pub(crate) struct Rest {
    pub transport: Transport,
    pub retry: Retry,
}

impl Rest {
    /// Sends a request, again if the server asks for it, and returns the answer.
    pub async fn send(&self, call: &Call) -> Result<Bytes, Error> {
        let answer = self.answer(call).await?;
        self.read(answer, call.longest).await
    }

    /// As `send`, with an answer that is JSON.
    pub async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Error::InvalidResponse(format!("the answer is not the JSON of one ({error})"))
        })
    }

    /// As `send`, into a file. An existing one is replaced only by a whole one.
    pub async fn save(&self, call: &Call, target: &Path) -> Result<(), Error> {
        let answer = self.answer(call).await?;
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let partial = Path::new(&name);
        let mut saved = self.write(answer, partial).await;
        if saved.is_ok() {
            let renamed = fs::rename(partial, target).await;
            saved = renamed.map_err(|error| Error::file(target, &error));
        }
        if saved.is_err() {
            // What is left is of no use. The error says what matters.
            let _ = fs::remove_file(partial).await;
        }
        saved
    }

    /// A path on the host, as the server gives it, as one below its address.
    pub fn below<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&self.transport.prefix).unwrap_or(path)
    }

    /// The answer to a request that succeeds.
    async fn answer(&self, call: &Call) -> Result<Response<Incoming>, Error> {
        let mut attempt = 0;
        loop {
            let response = self.exchange(call).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let refusal = self.refusal(response).await;
            attempt += 1;
            let status = refusal.status.unwrap_or_default();
            match self.retry.delay(attempt, refusal.retry_after) {
                Some(delay) if NOT_BEGUN.contains(&status) => tokio::time::sleep(delay).await,
                _ => return Err(refusal.into_error()),
            }
        }
    }

    async fn exchange(&self, call: &Call) -> Result<Response<Incoming>, Error> {
        let request = self.request(call)?;
        let stream = self.transport.connect().await?;
        let unreachable = |error: hyper::Error| self.transport.unreachable(&error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(unreachable)?;
        // It ends with the sender and the body of the answer; its errors come from these, too.
        tokio::spawn(connection);
        match timeout(self.transport.timeout, sender.send_request(request)).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(self.transport.unreachable(&"no answer in time")),
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Error> {
        let mut target = format!("{}{}", self.transport.prefix, call.path);
        for (index, (name, value)) in call.query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        let agent = concat!("pointstream-rust/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::builder()
            .method(&call.method)
            .uri(target)
            .header(HOST, self.transport.authority())
            .header(USER_AGENT, agent);
        if let Some(token) = &call.token {
            request = request.header(AUTHORIZATION, credentials(token)?);
        }
        let mut body = Bytes::new();
        if let Some(value) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json");
            body = value.to_string().into();
        }
        request.body(Full::new(body)).map_err(|error| {
            Error::InvalidArgument(format!("{} is no path of a server ({error})", call.path))
        })
    }

    async fn refusal(&self, response: Response<Incoming>) -> Refusal {
        let (status, headers) = (response.status(), response.headers().clone());
        // Without its text the status still says something.
        let body = self.read(response, LONGEST_REFUSAL).await;
        refusal_of(status, &headers, &body.unwrap_or_default())
    }

    async fn read(&self, response: Response<Incoming>, longest: usize) -> Result<Bytes, Error> {
        let mut body = response.into_body();
        let mut read = BytesMut::new();
        while let Some(piece) = self.piece(&mut body).await? {
            if read.len() + piece.len() > longest {
                let message = format!("the answer has more than {longest} bytes");
                return Err(Error::ResultTooLarge(Box::new(Refusal::new(message))));
            }
            read.extend_from_slice(&piece);
        }
        Ok(read.freeze())
    }

    async fn write(&self, response: Response<Incoming>, partial: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::file(partial, &error);
        let mut body = response.into_body();
        let mut file = fs::File::create(partial).await.map_err(failed)?;
        while let Some(piece) = self.piece(&mut body).await? {
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)
    }

    /// The next part of a body; none at its end.
    async fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, Error> {
        loop {
            let Ok(next) = timeout(self.transport.timeout, body.frame()).await else {
                return Err(self.transport.unreachable(&"the answer does not go on"));
            };
            match next {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.transport.unreachable(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// What an answer says with a status that is none of success.
pub(crate) fn refusal_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let told: Option<Value> = serde_json::from_slice(body).ok();
    let text = |name: &str| Some(told.as_ref()?.get(name)?.as_str()?.to_owned());
    Refusal {
        message: text("detail").unwrap_or_else(|| format!("HTTP status {status}")),
        code: text("code"),
        status: Some(status.as_u16()),
        retry_after: seconds(headers),
        ..Refusal::default()
    }
}

/// Our server sends seconds. A date, which proxies may send, counts as missing.
fn seconds(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}
