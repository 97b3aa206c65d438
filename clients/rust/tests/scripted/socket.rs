//! One connection of a WebSocket in a scenario.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::http::{Head, response};
use super::{Departure, Scenario};

const MAGIC: &[u8] = b"PSB\x01";

pub async fn serve(
    scenario: &Arc<Mutex<Scenario>>,
    mut stream: TcpStream,
    head: &Head,
) -> Result<(), Departure> {
    let (index, script) = {
        let mut scenario = scenario.lock().unwrap();
        let index = scenario.connected;
        scenario.connected += 1;
        let script = scenario.sockets.get(index).cloned();
        (index, script.ok_or("one connection too many")?)
    };
    if head.query != script["query"] {
        return Err(format!("socket {index}: the query is {}", head.query));
    }
    let found = json!({"path": head.path, "headers": head.headers});
    let expected = &script["request"];
    if !expected.is_null() && !scenario.lock().unwrap().matches(expected, &found) {
        return Err(format!("socket {index}: the request is {found}"));
    }
    if !script["refused"].is_null() {
        stream
            .write_all(&response(&script["refused"]))
            .await
            .unwrap();
        scenario.lock().unwrap().finished += 1;
        return Ok(());
    }
    let key = head.headers["sec-websocket-key"].as_str().unwrap();
    let accepted = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(accepted.as_bytes()).await.unwrap();
    let mut socket = Socket {
        scenario: Arc::clone(scenario),
        stream: Some(WebSocketStream::from_raw_socket(stream, Role::Server, None).await),
    };
    for (number, step) in script["steps"].as_array().into_iter().flatten().enumerate() {
        let done = socket.step(step).await;
        done.map_err(|departure| format!("socket {index}, step {number}: {departure}"))?;
    }
    scenario.lock().unwrap().finished += 1;
    socket.until_closed().await
}

struct Socket {
    scenario: Arc<Mutex<Scenario>>,
    /// None after the connection was dropped.
    stream: Option<WebSocketStream<TcpStream>>,
}

impl Socket {
    async fn step(&mut self, step: &Value) -> Result<(), Departure> {
        let (kind, given) = step
            .as_object()
            .and_then(|step| step.iter().next())
            .unwrap();
        match kind.as_str() {
            "send" => {
                let message = self.scenario.lock().unwrap().filled(given);
                self.send(Message::text(message.to_string())).await
            }
            "send_binary" => {
                let header = self
                    .scenario
                    .lock()
                    .unwrap()
                    .filled(&given["header"])
                    .to_string();
                let mut frame = MAGIC.to_vec();
                frame.put_u32_le(header.len() as u32);
                frame.put_slice(header.as_bytes());
                let data = given["data_base64"].as_str().unwrap();
                frame.extend(STANDARD.decode(data).unwrap());
                self.send(Message::Binary(frame.into())).await
            }
            "expect" => {
                let message = self.message().await?;
                self.check(given, &message)
            }
            "quiet" => {
                let pause = Duration::from_secs_f64(given.as_f64().unwrap());
                match timeout(pause, self.message()).await {
                    Ok(message) => Err(format!("a message too early: {}", short(&message?))),
                    Err(_) => Ok(()),
                }
            }
            "close" => {
                let frame = CloseFrame {
                    code: u16::try_from(given["code"].as_u64().unwrap())
                        .unwrap()
                        .into(),
                    reason: given["reason"].as_str().unwrap_or_default().into(),
                };
                self.send(Message::Close(Some(frame))).await
            }
            "drop" => {
                // Without a closing handshake, as when a network goes away.
                self.stream = None;
                Ok(())
            }
            _ => Err(format!("unknown step {step}")),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Departure> {
        let stream = self.stream.as_mut().ok_or("it was dropped")?;
        let sent = stream.send(message).await;
        sent.map_err(|error| format!("the client has gone: {error}"))
    }

    fn check(&self, expected: &Value, message: &Value) -> Result<(), Departure> {
        let mut scenario = self.scenario.lock().unwrap();
        scenario.messages += 1;
        match scenario.matches(expected, message) {
            true => Ok(()),
            false => Err(format!("expected {expected}, got {}", short(message))),
        }
    }

    /// The next message but for pings. A binary one has `binary`, and its bytes as `data`.
    async fn message(&mut self) -> Result<Value, Departure> {
        loop {
            let stream = self.stream.as_mut().ok_or(GONE)?;
            let message = match stream.next().await {
                Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Binary(frame))) => unpack(frame)?,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => return Err(GONE.to_owned()),
            };
            if message["type"] != "ping" {
                return Ok(message);
            }
            let pong = r#"{"type": "pong", "session_id": "s"}"#;
            self.send(Message::text(pong)).await?;
        }
    }

    /// Answers pings until the client goes. Anything else is too much.
    async fn until_closed(&mut self) -> Result<(), Departure> {
        match self.message().await {
            Ok(message) => Err(format!("a message too much: {}", short(&message))),
            Err(_) => Ok(()),
        }
    }
}

const GONE: &str = "the client closed the connection";

fn unpack(mut frame: Bytes) -> Result<Value, Departure> {
    if frame.len() < 8 || frame.split_to(4) != MAGIC {
        return Err("a binary message of another layout".to_owned());
    }
    let length = frame.split_to(4);
    let length = u32::from_le_bytes(length[..].try_into().unwrap()) as usize;
    let header = frame.split_to(length);
    let mut message: Value = serde_json::from_slice(&header).unwrap();
    message["binary"] = json!(true);
    message["data"] = json!(STANDARD.encode(&frame));
    Ok(message)
}

fn short(message: &Value) -> String {
    message.to_string().chars().take(200).collect()
}
