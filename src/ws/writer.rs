//! The writing half of a socket.

use std::io;

use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use pointstream_actors::{CloseReason, ErrorCode, Events, SessionEvent};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::deliveries::Deliveries;
use super::fragments::Fragments;
use super::outgoing::{self, Form, SentKind, ServerMessageKind};
use super::pings::Pings;
use super::presence::Presence;
use super::receive_memory::Socket;
use crate::metrics::ServiceMetrics;

/// Why writing ended.
#[derive(Debug)]
pub enum WriteEnd {
    /// The session has ended.
    SessionEnded(CloseReason),
    /// The session dropped the connection without an event.
    Dropped,
    /// Writing to the client failed.
    Lost,
    /// The client has not confirmed the answers before this one.
    Unconfirmed,
    /// A result could not be read to its end, when a part of it had been sent.
    Unreadable(io::Error),
    /// The reader asked to stop.
    Stopped,
}

/// Writes the session's events, one after another, until either side ends. Returns between
/// messages, never within one.
pub async fn write(
    metrics: &ServiceMetrics,
    sink: &mut SplitSink<Socket, Message>,
    form: &Form,
    events: &mut Events,
    deliveries: &Deliveries,
    (presence, stop): (&Presence, &CancellationToken),
) -> WriteEnd {
    let pings = deliveries.pings();
    let mut ping_at = Instant::now() + pings.interval();
    loop {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => return WriteEnd::Stopped,
            () = ping_is_due(ping_at, presence) => {
                if let Err(error) = sink.send(Message::Ping(pings.next().payload())).await {
                    tracing::debug!(%error, "cannot write to the client");
                    return WriteEnd::Lost;
                }
                presence.pinged();
                ping_at = Instant::now() + pings.interval();
                continue;
            }
            delivery = events.next() => delivery,
        };
        let Some(delivery) = delivery else {
            return WriteEnd::Dropped;
        };
        if let SessionEvent::Closed(reason) = delivery.event {
            delivery.confirm();
            return WriteEnd::SessionEnded(reason);
        }
        if delivery.awaits_receipt()
            && let Some(ended) = Box::pin(no_room(deliveries, stop)).await
        {
            deliveries.leave(delivery);
            return ended;
        }
        let message = match outgoing::message(&delivery.event, form) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON");
                let message = outgoing::error(
                    ErrorCode::Internal,
                    "internal error; the server's log says more",
                );
                Some((SentKind::Message(ServerMessageKind::Error), message))
            }
        };
        let message = match message {
            Some((_, message)) if let Err(error) = Box::pin(message.check()).await => {
                tracing::error!(%error, "a result cannot be read");
                let message = outgoing::unreadable(&delivery.event, &error);
                Some((SentKind::Message(ServerMessageKind::Error), message))
            }
            message => message,
        };
        let Some((kind, message)) = message else {
            delivery.confirm();
            continue;
        };
        // The answer to a request is held until the client has it, also if writing fails.
        let (written, ping) = match delivery.awaits_receipt() {
            true => (None, Some(deliveries.hold(delivery))),
            false => (Some(delivery), None),
        };
        // Apart, so that a socket that waits holds no memory for writing.
        let mut sent = Box::pin(send(sink, message, Some(pings))).await;
        if let Some(ping) = ping.filter(|_| sent.is_ok()) {
            let pinged = sink.send(Message::Ping(ping.payload())).await;
            sent = pinged.map_err(SendError::Socket);
            ping_at = Instant::now() + pings.interval();
        }
        match sent {
            Ok(()) => metrics.sockets.sent(kind),
            Err(SendError::Socket(error)) => {
                tracing::debug!(%error, "cannot write to the client");
                return WriteEnd::Lost;
            }
            Err(SendError::Result(error)) => {
                // Who resumes gets the error: the answer cannot be sent any more.
                return WriteEnd::Unreadable(error);
            }
        }
        if let Some(delivery) = written {
            delivery.confirm();
        }
    }
}

/// Waits until one more answer may be held. Returns why there is none more.
async fn no_room(deliveries: &Deliveries, stop: &CancellationToken) -> Option<WriteEnd> {
    // A client that only receives slowly has time for it.
    let deadline = deliveries.pings().deadline(Instant::now());
    tokio::select! {
        biased;
        () = stop.cancelled() => Some(WriteEnd::Stopped),
        () = deliveries.room() => None,
        () = sleep_until(deadline) => Some(WriteEnd::Unconfirmed),
    }
}

/// Waits until it is time for a ping, or somebody asks whether the client is there.
async fn ping_is_due(at: Instant, presence: &Presence) {
    tokio::select! {
        () = sleep_until(at) => {}
        () = presence.asked() => {}
    }
}

/// Why a message could not be sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// The network failed, or the client took no byte for `--send-timeout`.
    #[error("{0}")]
    Socket(#[from] Error),
    /// The result cannot be read.
    #[error("{0}")]
    Result(io::Error),
}

/// Writes a message, one fragment after another.
///
/// # Errors
/// [`SendError`].
pub async fn send(
    sink: &mut SplitSink<Socket, Message>,
    mut message: Fragments,
    pings: Option<&Pings>,
) -> Result<(), SendError> {
    while let Some(frame) = message.next().await.map_err(SendError::Result)? {
        if let Some(pings) = pings {
            pings.writes(frame.len());
        }
        sink.feed(Message::Frame(frame)).await?;
    }
    Ok(sink.flush().await?)
}
