//! A receiver of webhooks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::tls::Certificate;
use super::until;

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Message {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers));
        value.to_str().expect("text")
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a message is JSON")
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().expect("text").to_owned()
    }

    /// Checks the signature with the library of Standard Webhooks.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let webhook = Webhook::new(secret).expect("a secret");
        webhook.verify(&self.body, &self.headers).is_ok()
    }
}

/// A receiver, which ends when it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Mutex<Shared>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    messages: Vec<Message>,
    connections: usize,
    /// Heads of the next answers; 204 when there are none.
    answers: VecDeque<String>,
    /// Whether it reads and never answers.
    silent: bool,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address")).await
    }

    /// A receiver of encrypted messages.
    pub async fn with(certificate: &Certificate) -> Self {
        let address = "127.0.0.1:0".parse().expect("an address");
        Self::run(address, Some(certificate.acceptor())).await
    }

    /// A receiver at an address that was used before.
    pub async fn at(address: SocketAddr) -> Self {
        Self::run(address, None).await
    }

    async fn run(address: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let scheme = match tls {
            None => "http",
            Some(_) => "https",
        };
        let task = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    lock(&shared).connections += 1;
                    let (shared, tls) = (shared.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => receive(stream, shared).await,
                            Some(tls) => {
                                // A sender that does not trust the certificate leaves.
                                if let Ok(stream) = tls.accept(stream).await {
                                    receive(stream, shared).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self {
            address,
            scheme,
            shared,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}/hook?key=hidden", self.scheme, self.address)
    }

    /// Answers one of the next messages like this, such as `500 Sorry` with more headers.
    pub fn answer(&self, head: &str) {
        lock(&self.shared).answers.push_back(head.to_owned());
    }

    /// Never answers.
    pub fn fall_silent(&self) {
        lock(&self.shared).silent = true;
    }

    pub fn messages(&self) -> Vec<Message> {
        lock(&self.shared).messages.clone()
    }

    pub fn connections(&self) -> usize {
        lock(&self.shared).connections
    }

    /// Waits for so many messages.
    pub async fn received(&self, count: usize) -> Vec<Message> {
        let what = format!("message {count}");
        until(&what, async || {
            let messages = self.messages();
            (messages.len() >= count).then_some(messages)
        })
        .await
    }

    /// The body of a request for a session whose events it gets.
    pub fn wanted(&self, more: Value) -> Value {
        let mut webhook = json!({"url": self.url()});
        for (name, value) in more.as_object().into_iter().flatten() {
            webhook[name] = value.clone();
        }
        json!({ "webhook": webhook })
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Mutex<Shared>>) {
    let Some(message) = read(&mut stream).await else {
        return;
    };
    let answer = {
        let mut shared = lock(&shared);
        shared.messages.push(message);
        match shared.silent {
            true => None,
            false => {
                let next = shared.answers.pop_front();
                Some(next.unwrap_or_else(|| "204 No Content".to_owned()))
            }
        }
    };
    let Some(head) = answer else {
        // Until the other side gives up.
        let _ = stream.read(&mut [0]).await;
        return;
    };
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Message> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        let name: HeaderName = name.parse().expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    });
    let headers: HeaderMap = headers.collect();
    let length = headers.get("content-length").expect("a length").to_str();
    let length: usize = length.expect("text").parse().expect("a number");
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Message {
        path,
        headers,
        body,
    })
}
