//! One socket: the pump between a client and its session.
//!
//! Two sides run at the same time. The reader takes messages from the socket and gives them to the
//! session, one after another; while the session has enough of them, it reads no further, and TCP
//! tells the client. The writer takes events from the session and writes them, as fast as the
//! client takes them; no event is taken before the one before it is written.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use pointstream_actors::{
    AttachError, ClientMessage, CloseReason, ErrorKind, Events, Requests, SessionEvent, SessionId,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::close::Closing;
use super::frames::{Outgoing, ResultFrames};
use super::handshake::Socket;
use super::intake::{IntakeError, Meter};
use super::protocol;
use crate::api::Query;
use crate::app::App;
use crate::metrics::ServiceMetrics;

/// Messages from this size on are decoded where computing does not hold up other clients.
const LARGE: usize = 256 << 10;
/// Bytes of a control frame before its payload, as clients send it.
const CONTROL_HEAD: usize = 6;
/// How long a client may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a socket until either side ends it.
///
/// Without an identifier the client is told that there is no such session.
pub async fn serve(app: &App, socket: Socket, id: Option<SessionId>, query: &Query) {
    match attach(app, id, query).await {
        Ok(attached) => pump(app, socket, attached).await,
        Err(closing) => {
            tracing::info!(code = closing.code, reason = %closing.reason, "client refused");
            app.system
                .metrics()
                .error(ErrorKind::Socket, id, &closing.reason);
            let (mut sink, stream) = socket.split();
            if say_goodbye(&mut sink, &closing).await.is_ok() {
                linger(sink, stream, true).await;
            }
        }
    }
}

/// A socket's place in its session.
struct Attached {
    id: SessionId,
    requests: Requests,
    events: Events,
    results: ResultFrames,
}

/// Makes the socket part of its session.
async fn attach(app: &App, id: Option<SessionId>, query: &Query) -> Result<Attached, Closing> {
    let flag = |name| match query.boolean(name) {
        Ok(value) => Ok(value.unwrap_or(false)),
        Err(error) => Err(Closing::invalid(error.detail().to_owned())),
    };
    let resume = flag("resume")?;
    let results = if flag("binary")? {
        ResultFrames::Binary
    } else {
        ResultFrames::Json
    };
    let id = id.ok_or_else(Closing::session_not_found)?;
    let session = app.system.session(id).await.map_err(Closing::from)?;
    match session.attach(resume).await {
        Ok((requests, events)) => Ok(Attached {
            id,
            requests,
            events,
            results,
        }),
        Err(AttachError::Unanswered(error)) => Err(error.into()),
        Err(error @ AttachError::TooManyConnections { .. }) => {
            Err(Closing::too_many(error.to_string()))
        }
    }
}

async fn pump(app: &App, socket: Socket, attached: Attached) {
    let Attached {
        id,
        requests,
        mut events,
        results,
    } = attached;
    let meter = socket.get_ref().meter().clone();
    meter.begin(requests.memory().clone());
    let _open = app.metrics.sockets.opened();
    let (mut sink, stream) = socket.split();
    let stop_reading = CancellationToken::new();
    let stop_writing = CancellationToken::new();
    let reader = Reader {
        stream,
        requests,
        meter,
        message_limit: app.options.message_limit(),
        stop: stop_reading.clone(),
        stop_writing: stop_writing.clone(),
        metrics: app.metrics.clone(),
    };
    let reader = tokio::spawn(reader.run().instrument(tracing::Span::current()));
    let reader = AbortOnDropHandle::new(reader);
    let written = write(app, &mut sink, (id, results), &mut events, &stop_writing).await;
    stop_reading.cancel();
    let (read, stream) = match reader.await {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, "the reader of a socket failed");
            return;
        }
    };
    let (closing, readable) = match (written, read) {
        (WriteEnd::Lost, _) | (WriteEnd::Stopped, ReadEnd::Gone | ReadEnd::Stopped) => return,
        (WriteEnd::SessionEnded(reason), _) => (reason.into(), true),
        (WriteEnd::GivenUp, _) if app.system.session(id).await.is_ok() => {
            (Closing::too_slow(), true)
        }
        (WriteEnd::GivenUp, _) => (CloseReason::Failed.into(), true),
        (WriteEnd::Stopped, ReadEnd::Unreadable(closing)) => {
            app.system
                .metrics()
                .error(ErrorKind::Socket, Some(id), &closing.reason);
            (closing, false)
        }
    };
    tracing::debug!(code = closing.code, reason = %closing.reason, "closing the socket");
    if say_goodbye(&mut sink, &closing).await.is_ok() {
        linger(sink, stream, readable).await;
    }
}

/// Why no more is written.
#[derive(Debug)]
enum WriteEnd {
    /// The session has ended.
    SessionEnded(CloseReason),
    /// The session has dropped the connection without a word.
    GivenUp,
    /// The network did not take it.
    Lost,
    /// The reader said so.
    Stopped,
}

/// Writes what the session has to say. A message that was begun is always written to its end.
async fn write(
    app: &App,
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
            return WriteEnd::GivenUp;
        };
        if let SessionEvent::Closed(reason) = delivery.event {
            delivery.confirm();
            return WriteEnd::SessionEnded(reason);
        }
        let kind = delivery.event.kind();
        let message = match Outgoing::of(&delivery.event, id, results) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON");
                Some(Outgoing::error(
                    "internal error; the server's log says more",
                ))
            }
        };
        if let Some(message) = message {
            if let Err(error) = send(sink, message).await {
                tracing::debug!(%error, "cannot write to the client");
                return WriteEnd::Lost;
            }
            app.metrics.sockets.sent(kind);
        }
        delivery.confirm();
    }
}

/// Writes a message, one fragment after another. A client that takes nothing for too long makes
/// this fail: the connection below watches for it.
async fn send(sink: &mut SplitSink<Socket, Message>, message: Outgoing) -> Result<(), Error> {
    for frame in message {
        sink.feed(Message::Frame(frame)).await?;
    }
    sink.flush().await
}

/// Tells the client that and why we close.
async fn say_goodbye(
    sink: &mut SplitSink<Socket, Message>,
    closing: &Closing,
) -> Result<(), Error> {
    if closing.announced {
        send(sink, Outgoing::error(&closing.reason)).await?;
    }
    sink.send(Message::Close(Some(closing.frame()))).await
}

/// Waits for the client to close its side as well. What it still sends is thrown away: if it were
/// left unread, the system would reset the connection, and the client might never see our reason.
///
/// `readable` is false if what comes is not to be understood as messages any more.
async fn linger(sink: SplitSink<Socket, Message>, stream: SplitStream<Socket>, readable: bool) {
    let Ok(mut socket) = sink.reunite(stream) else {
        return;
    };
    let drained = tokio::time::timeout(CLOSE_TIMEOUT, async {
        if readable {
            while let Some(Ok(_)) = socket.next().await {
                socket.get_ref().meter().finish();
            }
        } else {
            let io = socket.get_mut();
            let mut rubbish = vec![0; 64 << 10];
            io.shutdown().await?;
            while io.read(&mut rubbish).await? > 0 {}
        }
        std::io::Result::Ok(())
    });
    // However it ended, the socket is dropped now.
    if !matches!(drained.await, Ok(Ok(()))) {
        tracing::debug!("the client did not close its side");
    }
}

/// Why no more is read.
#[derive(Debug)]
enum ReadEnd {
    /// The client left, or the network did.
    Gone,
    /// What the client sends cannot be read any further.
    Unreadable(Closing),
    /// The writer or the session said so.
    Stopped,
}

/// The side that reads.
struct Reader {
    stream: SplitStream<Socket>,
    requests: Requests,
    /// Holds the memory of the message that is being read.
    meter: Meter,
    message_limit: usize,
    stop: CancellationToken,
    /// Told when the client is gone or cannot be understood.
    stop_writing: CancellationToken,
    metrics: Arc<ServiceMetrics>,
}

impl Reader {
    async fn run(mut self) -> (ReadEnd, SplitStream<Socket>) {
        let stop = self.stop.clone();
        let ending = tokio::select! {
            biased;
            () = stop.cancelled() => ReadEnd::Stopped,
            ending = self.read() => ending,
        };
        // When the session has ended, the writer learns from it how.
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
                Message::Text(text) => understand(text).await,
                Message::Binary(bytes) => protocol::parse_binary(&bytes),
                // Pings are answered, and a close is, by reading on.
                control => {
                    self.meter.discount(CONTROL_HEAD + control.len());
                    continue;
                }
            };
            let lease = self.meter.finish();
            tracing::debug!(kind = %message.kind(), binary, "message received");
            self.metrics.sockets.received(message.kind());
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
            Error::Io(error) if let Some(reason) = IntakeError::of(&error) => {
                ReadEnd::Unreadable(reason.into())
            }
            error => {
                tracing::debug!(%error, "cannot read from the client");
                ReadEnd::Gone
            }
        }
    }
}

async fn understand(text: Utf8Bytes) -> ClientMessage {
    if text.len() < LARGE {
        return protocol::parse(&text);
    }
    tokio::task::spawn_blocking(move || protocol::parse(&text))
        .await
        .unwrap_or_else(|_| {
            protocol::invalid("internal error; the server's log says more".to_owned())
        })
}
