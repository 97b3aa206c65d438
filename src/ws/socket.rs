//! One socket: connects a client and its session.
//!
//! Two sides run at the same time. The reader gives messages to the session, one after another;
//! while the session has too many, it reads no further, and TCP flow control slows the client down.
//! The writer takes events from the session, and takes the next one after the client has received
//! the one before.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use pointstream_actors::{AttachError, CloseReason, ErrorKind, Events, Requests, SessionId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::close::Closing;
use super::outgoing::{self, ResultFrames};
use super::reader::{ReadEnd, Reader};
use super::receive_memory::Socket;
use super::writer::{WriteEnd, send, write};
use crate::api::Query;
use crate::app::App;

/// How long a client may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a socket until either side ends it.
///
/// Without an identifier the client gets the error that the session is not found.
pub async fn serve(app: &App, socket: Socket, id: Option<SessionId>, query: &Query) {
    match attach(app, id, query).await {
        Ok(attached) => pump(app, socket, attached).await,
        Err(closing) => {
            tracing::info!(code = closing.code, reason = %closing.reason, "client refused");
            app.system
                .metrics()
                .error(ErrorKind::Socket, id, &closing.reason);
            let (mut sink, stream) = socket.split();
            if send_close(&mut sink, &closing).await.is_ok() {
                linger(sink, stream, true).await;
            }
        }
    }
}

/// A socket that is connected to its session.
struct Attached {
    id: SessionId,
    requests: Requests,
    events: Events,
    results: ResultFrames,
}

/// Connects the socket to its session.
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

/// Runs both sides of the socket until one ends, then closes it.
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
    let written = write(
        &app.metrics,
        &mut sink,
        (id, results),
        &mut events,
        &stop_writing,
    )
    .await;
    stop_reading.cancel();
    let (read, stream) = match reader.await {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, "defect: the task that reads a socket panicked; its client is disconnected");
            return;
        }
    };
    let (closing, readable) = match (written, read) {
        (WriteEnd::Lost, _) | (WriteEnd::Stopped, ReadEnd::Gone | ReadEnd::Stopped) => return,
        (WriteEnd::SessionEnded(reason), _) => (reason.into(), true),
        (WriteEnd::Dropped, _) if app.system.session(id).await.is_ok() => {
            (Closing::too_slow(), true)
        }
        (WriteEnd::Dropped, _) => (CloseReason::Failed.into(), true),
        (WriteEnd::Stopped, ReadEnd::Unreadable(closing)) => {
            app.system
                .metrics()
                .error(ErrorKind::Socket, Some(id), &closing.reason);
            (closing, false)
        }
    };
    tracing::debug!(code = closing.code, reason = %closing.reason, "closing the socket");
    if send_close(&mut sink, &closing).await.is_ok() {
        linger(sink, stream, readable).await;
    }
}

/// Tells the client that the socket closes and why.
async fn send_close(sink: &mut SplitSink<Socket, Message>, closing: &Closing) -> Result<(), Error> {
    if closing.announced {
        send(sink, outgoing::error(&closing.reason)).await?;
    }
    sink.send(Message::Close(Some(closing.frame()))).await
}

/// Waits for the client to close its side. Data that it still sends is read and discarded: with
/// unread data the kernel would reset the connection, and the client might not receive the reason.
///
/// `readable` is false if the received bytes can no longer be parsed as WebSocket frames.
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
            let mut discarded = vec![0; 64 << 10];
            io.shutdown().await?;
            while io.read(&mut discarded).await? > 0 {}
        }
        std::io::Result::Ok(())
    });
    if !matches!(drained.await, Ok(Ok(()))) {
        tracing::debug!("the client did not close its side");
    }
}
