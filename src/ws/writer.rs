//! The writing half of a socket.

use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use pointstream_actors::{CloseReason, Events, SessionEvent, SessionId};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::fragments::Fragments;
use super::outgoing::{self, ResultFrames, SentKind, ServerMessageKind};
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
    /// The reader asked to stop.
    Stopped,
}

/// Writes the session's events, one after another, until either side ends. Returns between
/// messages, never within one.
pub async fn write(
    metrics: &ServiceMetrics,
    sink: &mut SplitSink<Socket, Message>,
    (id, results): (SessionId, ResultFrames),
    events: &mut Events,
    stop: &CancellationToken,
) -> WriteEnd {
    loop {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => return WriteEnd::Stopped,
            delivery = events.next() => delivery,
        };
        let Some(delivery) = delivery else {
            return WriteEnd::Dropped;
        };
        if let SessionEvent::Closed(reason) = delivery.event {
            delivery.confirm();
            return WriteEnd::SessionEnded(reason);
        }
        let message = match outgoing::message(&delivery.event, id, results) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON");
                let message = outgoing::error("internal error; the server's log says more");
                Some((SentKind::Message(ServerMessageKind::Error), message))
            }
        };
        if let Some((kind, message)) = message {
            if let Err(error) = send(sink, message).await {
                tracing::debug!(%error, "cannot write to the client");
                return WriteEnd::Lost;
            }
            metrics.sockets.sent(kind);
        }
        delivery.confirm();
    }
}

/// Writes a message, one fragment after another.
///
/// # Errors
/// If the network fails, or the client takes no byte for `--send-timeout`.
pub async fn send(sink: &mut SplitSink<Socket, Message>, message: Fragments) -> Result<(), Error> {
    for frame in message {
        sink.feed(Message::Frame(frame)).await?;
    }
    sink.flush().await
}
