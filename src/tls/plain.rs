//! Clients that speak plain HTTP to the port for HTTPS.

use std::io;
use std::time::Duration;

use pointstream_actors::ErrorCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// First byte of a TLS connection: a handshake record.
const HANDSHAKE: u8 = 0x16;
/// How long a client may take to leave after the answer.
const LINGER: Duration = Duration::from_secs(2);
/// The most bytes that are read from a client after the answer.
const LEFT: u64 = 1 << 20;

/// Whether the first byte is one of TLS. It stays in the socket.
///
/// # Errors
/// If the client leaves without a byte.
pub async fn begins_with_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0] == HANDSHAKE),
    }
}

/// Says that this is the port for HTTPS, and closes the connection.
pub async fn explain(mut stream: TcpStream) {
    let body = format!(
        "{{\"detail\": \"this port speaks HTTPS; write https:// or wss:// before the address\", \
         \"code\": \"{}\"}}",
        ErrorCode::HttpsRequired
    );
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let talk = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // With unread bytes the system would reset the connection, and the answer could be lost.
        tokio::io::copy(&mut stream.take(LEFT), &mut tokio::io::sink()).await
    };
    // The client may have gone.
    let _ = tokio::time::timeout(LINGER, talk).await;
}
