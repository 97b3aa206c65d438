//! Frames of WebSockets, valid and invalid, byte for byte: the cases in `framing/cases.json`.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::raw::{HANDSHAKE, address, ask};
use crate::support::server::Server;
use crate::support::within;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "about")]
    _about: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    what: String,
    send: Vec<Sent>,
    #[serde(default)]
    write: Write,
    expect: Vec<String>,
}

/// How bytes are written.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(untagged)]
enum Write {
    #[default]
    Whole,
    Pieces(usize),
    Frames(Frames),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Frames {
    Frame,
}

/// Frames to send.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    op: Op,
    #[serde(default)]
    more: bool,
    #[serde(default)]
    rsv: u8,
    code: Option<u16>,
    text: Option<String>,
    hex: Option<String>,
    fill: Option<usize>,
    message: Option<usize>,
    frames: Option<usize>,
    repeat: Option<usize>,
    mask: Option<bool>,
    announce: Option<u64>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Op {
    Named(Name),
    Number(u8),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Name {
    Cont = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Op {
    fn code(self) -> u8 {
        match self {
            Self::Named(name) => name as u8,
            Self::Number(number) => number,
        }
    }
}

impl Sent {
    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        payload.extend(self.code.into_iter().flat_map(u16::to_be_bytes));
        payload.extend(self.text.iter().flat_map(|text| text.bytes()));
        let digits = self.hex.as_deref().unwrap_or_default();
        payload.extend((0..digits.len()).step_by(2).map(|at| {
            u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits")
        }));
        payload.extend(std::iter::repeat_n(b'*', self.fill.unwrap_or_default()));
        if let Some(bytes) = self.message {
            let ping = r#"{"type": "ping"}"#;
            payload.extend(ping.bytes());
            payload.extend(std::iter::repeat_n(b' ', bytes - ping.len()));
        }
        payload
    }

    /// The frames as bytes.
    fn frames(&self) -> Vec<Vec<u8>> {
        let payload = self.payload();
        let first = u8::from(!self.more) << 7 | self.rsv << 4 | self.op.code();
        let masked = self.mask.unwrap_or(true);
        if let Some(length) = self.announce {
            return vec![head(first, length, masked)];
        }
        let pieces: Vec<&[u8]> = match self.frames {
            Some(bytes) => payload.chunks(bytes).collect(),
            None => vec![&payload],
        };
        let last = pieces.len() - 1;
        let frames = pieces.into_iter().enumerate().map(|(index, piece)| {
            let is_last = if index == last { first & 0x80 } else { 0 };
            let op = if index == 0 {
                first & 0x7f
            } else {
                first & 0x70
            };
            frame(is_last | op, piece, masked)
        });
        let frames: Vec<_> = frames.collect();
        (0..self.repeat.unwrap_or(1))
            .flat_map(|_| frames.clone())
            .collect()
    }
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The head of a frame (RFC 6455, section 5.2).
fn head(first: u8, length: u64, masked: bool) -> Vec<u8> {
    let mask = u8::from(masked) << 7;
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(mask | length as u8),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    if masked {
        bytes.extend(MASK);
    }
    bytes
}

fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64, masked);
    let mask = if masked { MASK } else { [0; 4] };
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// What the server sent.
#[derive(Debug)]
enum Heard {
    Message(Value),
    Pong(Vec<u8>),
    Close(Option<u16>),
    /// The connection is closed.
    End,
}

/// The receiving half of a connection.
struct Ear(BufReader<OwnedReadHalf>);

impl Ear {
    /// The next message or control frame.
    async fn next(&mut self) -> Heard {
        let mut text = Vec::new();
        loop {
            let mut head = [0; 2];
            if self.0.read_exact(&mut head).await.is_err() {
                return Heard::End;
            }
            let [first, length] = head;
            assert_eq!(
                (first & 0x70, length & 0x80),
                (0, 0),
                "no extension, no mask"
            );
            let length = match length {
                126 => self.0.read_u16().await.map(u64::from),
                127 => self.0.read_u64().await,
                short => Ok(u64::from(short)),
            };
            let mut payload = vec![0; length.expect("a whole head") as usize];
            self.0
                .read_exact(&mut payload)
                .await
                .expect("a whole frame");
            match first & 0x0f {
                0 | 1 => {
                    text.extend(payload);
                    if first & 0x80 != 0 {
                        return Heard::Message(serde_json::from_slice(&text).expect("JSON"));
                    }
                }
                8 => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return Heard::Close(code);
                }
                // The server's own pings are not answered: a case is over before.
                9 => {}
                10 => return Heard::Pong(payload),
                other => panic!("opcode {other} of the server"),
            }
        }
    }
}

/// A connection after its handshake and the message `connected`.
async fn connected(server: &Server, session: &str) -> (Ear, OwnedWriteHalf) {
    let mut request = format!("GET /ws/reconstruct/{session} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in HANDSHAKE {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let stream = TcpStream::connect(address(server)).await.expect("accepted");
    stream.set_nodelay(true).expect("a TCP connection");
    let (reading, mut writing) = stream.into_split();
    writing.write_all(request.as_bytes()).await.expect("sent");
    let mut reading = BufReader::new(reading);
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(
            within("the handshake", reading.read_u8())
                .await
                .expect("a response"),
        );
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let mut ear = Ear(reading);
    let greeting = within("the greeting", ear.next()).await;
    assert!(matches!(&greeting, Heard::Message(message) if message["type"] == "connected"));
    (ear, writing)
}

/// Writes until the server reads no more, and returns the connection.
async fn write(mut writing: OwnedWriteHalf, frames: Vec<Vec<u8>>, how: Write) -> OwnedWriteHalf {
    let pieces: Vec<Vec<u8>> = match how {
        Write::Whole => vec![frames.concat()],
        Write::Frames(Frames::Frame) => frames,
        Write::Pieces(bytes) => frames.concat().chunks(bytes).map(<[u8]>::to_vec).collect(),
    };
    for piece in pieces {
        if writing.write_all(&piece).await.is_err() {
            break;
        }
    }
    writing
}

/// One thing that is expected: its words, how often, and whether it may be missing.
fn parsed(expected: &str) -> (&str, usize, bool) {
    let (expected, optional) = match expected.strip_suffix('?') {
        Some(expected) => (expected, true),
        None => (expected, false),
    };
    match expected.rsplit_once('*') {
        Some((what, times)) => (what, times.parse().expect("a number"), optional),
        None => (expected, 1, optional),
    }
}

/// Whether this is what was expected. `pings` are the payloads of pings that have no answer yet.
fn is_expected(heard: &Heard, expected: &str, pings: &mut std::vec::IntoIter<Vec<u8>>) -> bool {
    let (kind, words) = expected.split_once(' ').unwrap_or((expected, ""));
    match (heard, kind) {
        (Heard::Message(message), "error" | "error:") => {
            let text = message["message"].as_str().unwrap_or_default();
            message["type"] == "error" && text.contains(words)
        }
        (Heard::Message(message), "message") => message["type"] == words,
        (Heard::Pong(payload), "pong") => pings.next().as_ref() == Some(payload),
        (Heard::Close(code), "close") => {
            words == code.map(|code| code.to_string()).unwrap_or_default()
        }
        _ => false,
    }
}

async fn run(server: &Server, session: &str, case: &Case) {
    let name = format!("{} ({})", case.id, case.what);
    let (mut ear, writing) = connected(server, session).await;
    let frames = case.send.iter().flat_map(Sent::frames).collect();
    let written = tokio::spawn(write(writing, frames, case.write));
    let pings: Vec<_> = case
        .send
        .iter()
        .filter(|sent| sent.op.code() == 9)
        .map(Sent::payload)
        .collect();
    let mut pings = pings.into_iter();
    let closes = case
        .expect
        .last()
        .is_some_and(|last| last.starts_with("close"));
    let mut ahead = None;
    for expected in &case.expect {
        let (what, times, optional) = parsed(expected);
        for _ in 0..times {
            let heard = match ahead.take() {
                Some(heard) => heard,
                None => within(&name, ear.next()).await,
            };
            if !is_expected(&heard, what, &mut pings) {
                assert!(optional, "{name}: {heard:?} instead of {expected}");
                ahead = Some(heard);
            }
        }
    }
    assert!(ahead.is_none(), "{name}: {ahead:?} is left");
    let mut writing = within(&name, written).await.expect("no panic");
    if !closes {
        // Nothing else comes before the answer to this.
        let close = frame(0x88, &1000_u16.to_be_bytes(), true);
        writing
            .write_all(&close)
            .await
            .expect("the connection is open");
        let heard = within(&name, ear.next()).await;
        assert!(
            matches!(heard, Heard::Close(Some(1000))),
            "{name}: {heard:?}"
        );
    }
    // A server that has sent the close frame sends no more.
    drop(writing);
    let heard = within(&name, ear.next()).await;
    assert!(matches!(heard, Heard::End), "{name}: {heard:?}");
}

#[tokio::test]
async fn frames_are_answered_as_the_standard_says() {
    let table = include_str!("framing/cases.json");
    let table: Table = serde_json::from_str(table).expect("the cases are valid");
    assert_eq!(table.cases.len(), 305);
    // The largest message of the cases that is taken has 16 MiB.
    let server = Server::start(&["--max-message-bytes", "16777216"]).await;
    let session = server.session("").await;
    let mut failed = Vec::new();
    for case in &table.cases {
        // The others say more about what is wrong.
        let ended = AssertUnwindSafe(run(&server, &session, case)).catch_unwind();
        if ended.await.is_err() {
            failed.push(&case.id);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    server.client("").await.expect_quiet().await;
}

#[tokio::test]
async fn no_compression_is_negotiated() {
    let server = Server::start(&[]).await;
    let session = server.session("").await;
    let line = format!("GET /ws/reconstruct/{session} HTTP/1.1");
    let offer = (
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits",
    );
    let headers = [&[("Host", "localhost"), offer], &HANDSHAKE[..]].concat();
    let heard = ask(&server, &line, &headers).await;
    assert_eq!(heard.status, 101);
    assert_eq!(heard.header("Sec-WebSocket-Extensions"), None);
}
