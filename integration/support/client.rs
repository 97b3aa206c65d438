//! A WebSocket client for the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::server::Server;
use super::{until, within};

/// The WebSocket library's stream.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection to one session.
pub struct Client {
    /// The session's identifier.
    pub session: String,
    /// The message `connected`.
    pub greeting: Value,
    /// The bytes after the header of the last message, if it was binary.
    payload: Option<Vec<u8>>,
    socket: Socket,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code of the close frame; `None` if the connection dropped without one.
    pub code: Option<u16>,
    pub reason: String,
}

/// The answer to a `generate` or `finalize`.
pub struct Answer {
    /// The messages before it, in order.
    pub before: Vec<Value>,
    /// The `delta`, `complete` or `error`.
    pub message: Value,
    /// The GLB, if the answer came as a binary message.
    binary: Option<Vec<u8>>,
}

impl Answer {
    /// The progress messages before the answer.
    pub fn progress(&self) -> impl Iterator<Item = &Value> {
        self.before
            .iter()
            .filter(|message| message["type"] == "progress")
    }

    /// The GLB of a result.
    pub fn glb(&self) -> Vec<u8> {
        if let Some(bytes) = &self.binary {
            return bytes.clone();
        }
        let text = self.message["glb_base64"].as_str().unwrap_or_else(|| {
            panic!("no GLB in the answer {}", brief(&self.message));
        });
        BASE64.decode(text).expect("base64")
    }

    /// Whether it came as a binary message.
    pub fn is_binary(&self) -> bool {
        self.binary.is_some()
    }

    pub fn metadata(&self) -> &Value {
        &self.message["metadata"]
    }
}

/// Opens a socket without reading anything from it.
pub async fn open(address: &str) -> Result<Socket, Error> {
    let opened = Box::pin(open_with(address, &[], None));
    opened.await.map(|(socket, _)| socket)
}

/// The same for a client that takes messages up to this size in bytes.
pub async fn open_limited(address: &str, limit: usize) -> Result<Socket, Error> {
    let opened = Box::pin(open_with(address, &[], Some(limit)));
    opened.await.map(|(socket, _)| socket)
}

/// Opens a socket with further headers of the handshake; returns also the response to it.
async fn open_with(
    address: &str,
    headers: &[(&'static str, &str)],
    limit: Option<usize>,
) -> Result<(Socket, Response), Error> {
    let config = WebSocketConfig::default()
        .max_message_size(limit)
        .max_frame_size(limit);
    let mut request = address.into_client_request()?;
    for (name, value) in headers {
        let value = value.parse().expect("a header");
        request.headers_mut().insert(*name, value);
    }
    within(
        "the handshake",
        connect_async_with_config(request, Some(config), true),
    )
    .await
}

impl Client {
    /// Connects to a session and reads the greeting.
    pub async fn connect(server: &Server, session: &str) -> Self {
        Self::at(&server.socket(session), session).await
    }

    /// Reconnects with `?resume=true`.
    pub async fn resume(server: &Server, session: &str) -> Self {
        Self::at(&format!("{}?resume=true", server.socket(session)), session).await
    }

    /// Connects with these parameters in the URL.
    pub async fn connect_with(server: &Server, session: &str, query: &str) -> Self {
        Self::at(&format!("{}?{query}", server.socket(session)), session).await
    }

    /// Connects with further headers of the handshake, without waiting for a message; returns also the
    /// subprotocol that the server selected.
    pub async fn with_headers(
        address: &str,
        session: &str,
        headers: &[(&'static str, &str)],
    ) -> (Self, Option<String>) {
        let (socket, response) = open_with(address, headers, None)
            .await
            .expect("a handshake");
        let selected = response.headers().get("sec-websocket-protocol");
        let selected = selected.map(|value| value.to_str().expect("text").to_owned());
        (Self::on(socket, session), selected)
    }

    /// Connects with a token in the handshake and reads the greeting.
    pub async fn with_token(server: &Server, session: &str, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        let (mut client, _) = Self::with_headers(&server.socket(session), session, &headers).await;
        client.greeting = client.expect("connected").await;
        client
    }

    /// Connects to an address that refuses; returns the messages before the close.
    pub async fn refused(address: &str) -> (Vec<Value>, Closed) {
        Self::raw(address, "").await.closed().await
    }

    /// Connects to an address and reads the greeting.
    pub async fn at(address: &str, session: &str) -> Self {
        let mut client = Self::raw(address, session).await;
        client.greeting = client.expect("connected").await;
        client
    }

    /// Connects again, as clients do: until a server takes it. Reads the greeting.
    pub async fn again(address: &str, session: &str) -> Self {
        // This connection is used: with `?resume=true` it may have got answers already.
        let socket = until("a server for the session", async || {
            open(address).await.ok()
        })
        .await;
        let mut client = Self::on(socket, session);
        client.greeting = client.expect("connected").await;
        client
    }

    async fn raw(address: &str, session: &str) -> Self {
        let socket = open(address).await.expect("the server takes connections");
        Self::on(socket, session)
    }

    fn on(socket: Socket, session: &str) -> Self {
        Self {
            session: session.to_owned(),
            greeting: Value::Null,
            payload: None,
            socket,
        }
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        within("sending", self.socket.send(message))
            .await
            .expect("the connection is open");
    }

    /// Sends a message that the server may refuse by closing the connection.
    pub async fn try_send_raw(&mut self, message: Message) -> Result<(), Error> {
        within("sending", self.socket.send(message)).await
    }

    pub async fn send_image(&mut self, name: &str, bytes: &[u8]) {
        let data = BASE64.encode(bytes);
        self.send(json!({"type": "image", "data": data, "filename": name}))
            .await;
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, header: &str, payload: &[u8]) {
        self.send_raw(Message::binary(binary(header, payload)))
            .await;
    }

    /// Sends an image and waits for its acknowledgement.
    pub async fn upload(&mut self, name: &str, bytes: &[u8]) -> Value {
        self.send_image(name, bytes).await;
        let ack = self.expect("ack").await;
        assert_eq!(ack["session_id"], self.session.as_str());
        ack
    }

    pub async fn generate(&mut self, incremental: bool) {
        self.send(json!({"type": "generate", "incremental": incremental}))
            .await;
    }

    /// The next message, or how the connection ended.
    pub async fn event(&mut self) -> Result<Value, Closed> {
        self.payload = None;
        // For all frames: a server that never answers still sends pings.
        within("the next message", self.frames()).await
    }

    async fn frames(&mut self) -> Result<Value, Closed> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("messages are JSON");
                    assert!(message["type"].is_string(), "no type: {}", brief(&message));
                    let is_error = message["type"] == "error";
                    assert!(
                        !is_error || message["code"].is_string(),
                        "no code: {message}"
                    );
                    return Ok(message);
                }
                Some(Ok(Message::Binary(bytes))) => {
                    assert_eq!(&bytes[..4], b"PSB\x01", "no header");
                    let length = bytes[4..8].try_into().expect("four bytes");
                    let end = 8 + u32::from_le_bytes(length) as usize;
                    let message = serde_json::from_slice(&bytes[8..end]).expect("headers are JSON");
                    self.payload = Some(bytes[end..].to_vec());
                    return Ok(message);
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((None, String::new()), |frame| {
                        (Some(frame.code.into()), frame.reason.to_string())
                    });
                    return Err(Closed { code, reason });
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("the protocol has no such message: {other:?}"),
                Some(Err(_)) | None => {
                    return Err(Closed {
                        code: None,
                        reason: String::new(),
                    });
                }
            }
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        match self.event().await {
            Ok(message) => message,
            Err(closed) => panic!("a message is due, but the connection ended: {closed:?}"),
        }
    }

    /// The next message, which must have this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "{}", brief(&message));
        message
    }

    /// The next message, which must be an error that contains all these words.
    pub async fn expect_error(&mut self, words: &[&str]) -> String {
        let error = self.expect("error").await;
        let text = error["message"].as_str().expect("an error has a message");
        for word in words {
            assert!(
                text.to_lowercase().contains(&word.to_lowercase()),
                "{word:?} is missing in the error {text:?}"
            );
        }
        text.to_owned()
    }

    /// Reads up to the next message of one of these types; returns the earlier ones, and it.
    pub async fn up_to(&mut self, kinds: &[&str]) -> (Vec<Value>, Value) {
        let mut before = Vec::new();
        within(&kinds.join(" or "), async {
            loop {
                let message = self.next().await;
                if kinds.iter().any(|kind| message["type"] == *kind) {
                    return (before, message);
                }
                before.push(message);
            }
        })
        .await
    }

    /// Reads up to the answer of a `generate` or `finalize`.
    pub async fn answer(&mut self) -> Answer {
        let (before, message) = self.up_to(&["delta", "complete", "error"]).await;
        Answer {
            before,
            message,
            binary: self.payload.take(),
        }
    }

    /// Reads up to a result; an error fails the test.
    pub async fn result(&mut self, kind: &str) -> Answer {
        let answer = self.answer().await;
        assert_eq!(answer.message["type"], kind, "{}", brief(&answer.message));
        answer
    }

    /// Reads until the model runs this session's request.
    pub async fn inference_started(&mut self) {
        loop {
            let message = self.expect("progress").await;
            if message["stage"] == "inference" {
                return;
            }
        }
    }

    /// Checks that the connection is open and has no unread messages.
    pub async fn expect_quiet(&mut self) {
        self.send(json!({"type": "ping"})).await;
        let pong = self.expect("pong").await;
        assert_eq!(pong["session_id"], self.session.as_str());
    }

    /// Reads up to the end of the connection; returns the messages before it.
    pub async fn closed(&mut self) -> (Vec<Value>, Closed) {
        let mut before = Vec::new();
        loop {
            match self.event().await {
                Ok(message) => before.push(message),
                Err(closed) => return (before, closed),
            }
        }
    }

    /// Drops the connection without a close frame, like a network failure.
    pub fn vanish(self) {}
}

/// A binary message.
pub fn binary(header: &str, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(header.len()).expect("a short header");
    [
        b"PSB\x01",
        length.to_le_bytes().as_slice(),
        header.as_bytes(),
        payload,
    ]
    .concat()
}

/// Formats a message with its long fields truncated.
pub fn brief(message: &Value) -> String {
    let mut text = message.to_string();
    if text.len() > 600 {
        let end = (0..=600).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push_str("...");
    }
    text
}
