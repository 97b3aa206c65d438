//! Requests as a scenario compares them, and its answers as bytes.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::Departure;

/// The head of a request.
pub struct Head {
    method: String,
    pub path: String,
    pub query: Value,
    pub headers: Map<String, Value>,
}

impl Head {
    /// None if the client goes before its end.
    pub async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.ok()?);
        }
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let target = first.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.filter_map(|line| line.split_once(':'));
        Some(Self {
            method,
            path: path.to_owned(),
            query: parameters(query),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), json!(value.trim())))
                .collect(),
        })
    }

    pub fn is_handshake(&self) -> bool {
        self.headers
            .get("upgrade")
            .is_some_and(|value| value == "websocket")
    }

    /// The request with its body.
    pub async fn request(&self, stream: &mut TcpStream) -> Result<Value, Departure> {
        let length = self.headers.get("content-length").and_then(Value::as_str);
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        let read = stream.read_exact(&mut body).await;
        read.map_err(|error| format!("the client has gone: {error}"))?;
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).map_err(|error| error.to_string())?,
        };
        Ok(json!({
            "method": self.method, "path": self.path, "query": self.query,
            "headers": self.headers, "json": body,
        }))
    }
}

fn parameters(query: &str) -> Value {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let decoded = |text| json!(percent_decode_str(text).decode_utf8().unwrap());
    Value::Object(
        pairs
            .map(|(name, value)| (name.to_owned(), decoded(value)))
            .collect(),
    )
}

/// An answer of a scenario.
pub fn response(answer: &Value) -> Vec<u8> {
    let body = match &answer["body_base64"] {
        Value::String(encoded) => STANDARD.decode(encoded).unwrap(),
        _ => match &answer["json"] {
            Value::Null => b"{}".to_vec(),
            value => value.to_string().into_bytes(),
        },
    };
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer["status"]);
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        write!(head, "{name}: {}\r\n", value.as_str().unwrap()).unwrap();
    }
    write!(
        head,
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .unwrap();
    [head.into_bytes(), body].concat()
}
