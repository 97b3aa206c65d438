//! Requests as text, for what HTTP libraries do not send.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::server::Server;
use super::within;

/// The address of a server.
pub fn address(server: &Server) -> SocketAddr {
    let base = server.base().trim_start_matches("http://");
    base.parse().expect("an address")
}

/// A response, and the connection on which it came.
pub struct Heard {
    pub status: u16,
    /// Status line and headers, as they came.
    pub head: String,
    connection: TcpStream,
}

impl Heard {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    /// The rest of what the server sends before it closes the connection.
    pub async fn body(&mut self) -> String {
        let mut body = Vec::new();
        within("the body", self.connection.read_to_end(&mut body))
            .await
            .expect("readable");
        String::from_utf8(body).expect("text")
    }
}

/// Sends a request line and headers on a connection of its own; returns what came back.
pub async fn ask(server: &Server, line: &str, headers: &[(&str, &str)]) -> Heard {
    ask_with(server, line, headers, "").await
}

/// The same with a body, as it is written on the wire.
pub async fn ask_with(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> Heard {
    let here = Ipv4Addr::LOCALHOST;
    let connection = send_from(here, server, line, headers, body.as_bytes()).await;
    hear(connection).await
}

/// Sends a request from an address of this machine, and waits for nothing.
pub async fn send_from(
    from: Ipv4Addr,
    server: &Server,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> TcpStream {
    let mut text = format!("{line}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of ours");
    let mut connection = socket.connect(address(server)).await.expect("accepted");
    connection.write_all(text.as_bytes()).await.expect("sent");
    connection.write_all(body).await.expect("sent");
    connection
}

/// Reads the head of what comes back.
pub async fn hear(mut connection: TcpStream) -> Heard {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = within("the response", connection.read_u8()).await;
        head.push(byte.expect("a response"));
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    Heard {
        status: status.expect("a status"),
        head,
        connection,
    }
}

/// Headers of a WebSocket handshake.
pub const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
