//! The reading half of a socket.

use std::str::Utf8Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use pointstream_actors::{ClientMessage, Requests};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::close::Closing;
use super::deliveries::Deliveries;
use super::incoming;
use super::notes::Notes;
use super::presence::{Presence, TIME_TO_ANSWER};
use super::receive_memory::{Complete, ReceiveError, ReceiveMeter, Socket};
use crate::metrics::ServiceMetrics;
use crate::payload::Payload;
use crate::rates::Pace;

/// Messages from this size in bytes on are parsed on a thread for blocking work.
const LARGE: usize = 256 << 10;

/// Why reading ended.
#[derive(Debug)]
pub enum ReadEnd {
    /// The network connection is closed.
    Gone,
    /// The client sent what it may not, or nothing: close the socket with this frame.
    Refused(Closing),
    /// The session ended, or the writer asked to stop.
    Stopped,
}

/// Nothing came from the client for too long, not even the answer to a ping.
struct Silent;

/// Reads messages from a client and passes them to its session.
pub struct Reader {
    pub stream: SplitStream<Socket>,
    pub requests: Requests,
    /// Holds the memory of the message that is being read.
    pub meter: ReceiveMeter,
    /// What the client may not have got yet.
    pub deliveries: Deliveries,
    /// How quickly the client may send.
    pub pace: Pace,
    /// None if the client can end nothing.
    pub notes: Option<Notes>,
    /// Whether another client needs to know that this one is there.
    pub presence: Presence,
    /// In bytes.
    pub message_limit: usize,
    pub stop: CancellationToken,
    /// Cancelled when the client disconnects or is refused.
    pub stop_writing: CancellationToken,
    pub metrics: Arc<ServiceMetrics>,
}

impl Reader {
    /// Reads until the client or the session ends; returns why, and the stream.
    pub async fn run(mut self) -> (ReadEnd, SplitStream<Socket>) {
        let stop = self.stop.clone();
        let ending = tokio::select! {
            biased;
            () = stop.cancelled() => match self.presence.is_gone() {
                true => ReadEnd::Refused(Closing::silent(TIME_TO_ANSWER)),
                false => ReadEnd::Stopped,
            },
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
            self.presence.reads(true);
            let message = self.next().await;
            self.presence.reads(false);
            let message = match message {
                Err(Silent) => {
                    return ReadEnd::Refused(Closing::silent(self.deliveries.pings().patience()));
                }
                Ok(None) => return ReadEnd::Gone,
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return self.failed(error),
            };
            let binary = message.is_binary();
            let Complete { payload, lease } = match message {
                Message::Text(_) | Message::Binary(_) => self.meter.finish(),
                _ => Complete::default(),
            };
            let pause = match &message {
                Message::Close(_) => Duration::ZERO,
                message => {
                    let length = payload
                        .as_ref()
                        .map_or(message.len(), |payload| payload.as_ref().len());
                    match self.pace.message(length) {
                        Ok(pause) => pause,
                        Err(error) => return ReadEnd::Refused(error.into()),
                    }
                }
            };
            let mut message = match message {
                Message::Text(text) => {
                    let payload = payload.unwrap_or_else(|| Vec::from(Bytes::from(text)).into());
                    match parse(payload).await {
                        Ok(message) => message,
                        Err(_) => return ReadEnd::Refused(Closing::not_utf8()),
                    }
                }
                Message::Binary(bytes) => {
                    incoming::parse_binary(&payload.map_or(bytes, Bytes::from))
                }
                Message::Pong(payload) => {
                    self.deliveries.answered(&payload);
                    wait(pause).await;
                    continue;
                }
                Message::Close(Some(frame)) if frame.code == CloseCode::Size => {
                    self.deliveries.too_large();
                    continue;
                }
                // The library answers pings and close frames while it reads on.
                _ => {
                    wait(pause).await;
                    continue;
                }
            };
            if let ClientMessage::Received { number, .. } = &message {
                self.deliveries.received(*number);
            }
            let kind = message.kind();
            tracing::debug!(kind = <&str>::from(kind), binary, "message received");
            self.metrics.sockets.received(kind);
            if let Some(notes) = &self.notes {
                notes.message(&mut message);
            }
            if self.requests.send_holding(message, lease).await.is_err() {
                return ReadEnd::Stopped;
            }
            // Its memory is the session's by now, so waiting keeps none from others.
            wait(pause).await;
        }
    }

    /// The next message. A client that the server does not read from is not silent.
    async fn next(&mut self) -> Result<Option<Result<Message, Error>>, Silent> {
        let began = Instant::now();
        loop {
            let heard = self.meter.heard().unwrap_or(began).max(began);
            let deadline = self.deliveries.pings().deadline(heard);
            if deadline <= Instant::now() {
                return Err(Silent);
            }
            tokio::select! {
                biased;
                message = self.stream.next() => return Ok(message),
                () = sleep_until(deadline) => {}
            }
        }
    }

    fn failed(&self, error: Error) -> ReadEnd {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                ReadEnd::Refused(Closing::too_large(self.message_limit))
            }
            Error::Utf8(_) => ReadEnd::Refused(Closing::not_utf8()),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => ReadEnd::Gone,
            Error::Protocol(error) => ReadEnd::Refused(Closing::protocol(error.to_string())),
            Error::Io(error) if let Some(reason) = ReceiveError::of(&error) => {
                ReadEnd::Refused(reason.into())
            }
            error => {
                tracing::debug!(%error, "cannot read from the client");
                ReadEnd::Gone
            }
        }
    }
}

/// Parses a text message; a large one on a thread where it does not delay other clients.
async fn parse(payload: Payload) -> Result<ClientMessage, Utf8Error> {
    if payload.as_ref().len() < LARGE {
        return incoming::parse(payload);
    }
    tokio::task::spawn_blocking(move || incoming::parse(payload))
        .await
        .unwrap_or_else(|_| {
            let reason = "internal error; the server's log says more";
            Ok(incoming::invalid(reason.to_owned()))
        })
}

/// Even the shortest sleep lasts until the next tick of the timer, so none is none.
async fn wait(pause: Duration) {
    if !pause.is_zero() {
        sleep(pause).await;
    }
}
