//! The reading half of a socket.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use pointstream_actors::{ClientMessage, Requests};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::close::Closing;
use super::incoming;
use super::receive_memory::{ReceiveError, ReceiveMeter, Socket};
use crate::metrics::ServiceMetrics;

/// Messages from this size in bytes on are parsed on a thread for blocking work.
const LARGE: usize = 256 << 10;
/// Bytes of a control frame before its payload, as clients send it.
const CONTROL_HEAD: usize = 6;

/// Why reading ended.
#[derive(Debug)]
pub enum ReadEnd {
    /// The network connection is closed.
    Gone,
    /// The client sent invalid data: close the socket with this frame.
    Unreadable(Closing),
    /// The session ended, or the writer asked to stop.
    Stopped,
}

/// Reads messages from a client and passes them to its session.
pub struct Reader {
    pub stream: SplitStream<Socket>,
    pub requests: Requests,
    /// Holds the memory of the message that is being read.
    pub meter: ReceiveMeter,
    /// In bytes.
    pub message_limit: usize,
    pub stop: CancellationToken,
    /// Cancelled when the client disconnects or sends invalid data.
    pub stop_writing: CancellationToken,
    pub metrics: Arc<ServiceMetrics>,
}

impl Reader {
    /// Reads until the client or the session ends; returns why, and the stream.
    pub async fn run(mut self) -> (ReadEnd, SplitStream<Socket>) {
        let stop = self.stop.clone();
        let ending = tokio::select! {
            biased;
            () = stop.cancelled() => ReadEnd::Stopped,
            ending = self.read() => ending,
        };
        // If the session has ended, it tells the writer itself.
        if !matches!(ending, ReadEnd::Stopped) {
            self.stop_writing.cancel();
        }
        (ending, self.stream)
    }

    async fn read(&mut self) -> ReadEnd {
        loop {
            let message = match self.stream.next().await {
                None => return ReadEnd::Gone,
                Some(Ok(message)) => message,
                Some(Err(error)) => return self.failed(error),
            };
            let binary = message.is_binary();
            let message = match message {
                Message::Text(text) => parse(text).await,
                Message::Binary(bytes) => incoming::parse_binary(&bytes),
                // The library answers pings and close frames while it reads on.
                control => {
                    self.meter.discount(CONTROL_HEAD + control.len());
                    continue;
                }
            };
            let lease = self.meter.finish();
            let kind = message.kind();
            tracing::debug!(kind = <&str>::from(kind), binary, "message received");
            self.metrics.sockets.received(kind);
            if self.requests.send_holding(message, lease).await.is_err() {
                return ReadEnd::Stopped;
            }
        }
    }

    fn failed(&self, error: Error) -> ReadEnd {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                ReadEnd::Unreadable(Closing::too_large(self.message_limit))
            }
            Error::Utf8(_) => ReadEnd::Unreadable(Closing::not_utf8()),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => ReadEnd::Gone,
            Error::Protocol(error) => ReadEnd::Unreadable(Closing::protocol(error.to_string())),
            Error::Io(error) if let Some(reason) = ReceiveError::of(&error) => {
                ReadEnd::Unreadable(reason.into())
            }
            error => {
                tracing::debug!(%error, "cannot read from the client");
                ReadEnd::Gone
            }
        }
    }
}

/// Parses a text message; a large one on a thread where it does not delay other clients.
async fn parse(text: Utf8Bytes) -> ClientMessage {
    if text.len() < LARGE {
        return incoming::parse(&text);
    }
    tokio::task::spawn_blocking(move || incoming::parse(&text))
        .await
        .unwrap_or_else(|_| {
            incoming::invalid("internal error; the server's log says more".to_owned())
        })
}
