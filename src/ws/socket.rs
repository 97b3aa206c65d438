//! One socket: connects a client and its session.
//!
//! Two sides run at the same time. The reader gives messages to the session, one after another;
//! while the session has too many, it reads no further, and TCP flow control slows the client down.
//! The writer takes events from the session, and takes the next one after the client has received
//! the one before.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::StreamExt;
use futures_util::stream::{SplitSink, SplitStream};
use pointstream_actors::{
    AttachError, AttachOptions, CloseReason, ErrorCode, ErrorKind, Events, Requests, SessionId,
    Whose,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::admission::{Visitor, admit};
use super::close::Closing;
use super::deliveries::Deliveries;
use super::notes::Notes;
use super::outgoing::{self, Form, ResultFrames};
use super::pings::Pings;
use super::presence::Group;
use super::reader::{ReadEnd, Reader};
use super::receive_memory::Socket;
use super::writer::{SendError, WriteEnd, send, write};
use crate::api::Query;
use crate::app::App;
use crate::auth::{Action, Caller, Needs, Refused, Scope, Target};
use crate::entrance::PathPrefix;
use crate::rates::Pace;

/// The parameters of the URL.
const PARAMETERS: [&str; 5] = ["resume", "binary", "deltas", "since", "watch"];
/// How long to read on after writing to a client has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What a client needs as long as it uses a session.
const USING: Needs = Needs::one_of(&[Scope::Use]);
/// The route, for the audit log.
const ROUTE: &str = "/ws/reconstruct/{session_id}";
/// How often, and after which time, a place is asked for that is about to be free.
const PLACE_TRIES: u32 = 20;
const PLACE_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a socket until either side ends it.
///
/// Without an identifier the client gets the error that the session is not found.
pub async fn serve(
    app: &App,
    mut socket: Socket,
    id: Option<SessionId>,
    query: &Query,
    visitor: Visitor,
) {
    let (from, needs, rates) = (visitor.from, visitor.needs, visitor.rates.clone());
    let prefix = visitor.prefix.clone();
    // Each part has memory of its own, so that an open socket holds none of the others.
    let caller = match Box::pin(admit(app, &mut socket, visitor)).await {
        Ok(caller) => caller,
        Err(refused) => {
            app.audit.refused(&refused, from, ROUTE);
            return Box::pin(refuse(socket, &Closing::refused(&refused.refusal))).await;
        }
    };
    let audit = app.asked_audit().map(|audit| (audit, caller.clone()));
    match Box::pin(attach(app, id, query, (caller, prefix))).await {
        Ok(attached) => {
            drop(audit);
            let target = Target::Session(attached.form.session_id);
            app.audit
                .done(Action::SessionOpened, &attached.caller, from, target);
            let pace = app.pace(rates, &attached.caller);
            Box::pin(pump(app, socket, attached, (from, needs, pace))).await;
        }
        Err(closing) => {
            tracing::debug!(code = closing.code, reason = %closing.reason, "client refused");
            let noted = [ErrorCode::SessionNotFound, ErrorCode::TooManyConnections];
            if let Some((audit, who)) = audit
                && noted.contains(&closing.error)
            {
                audit.turned_away(closing.error.into(), Some(&who), from, ROUTE);
            }
            app.system
                .metrics()
                .error(ErrorKind::Socket, id, &closing.reason);
            Box::pin(refuse(socket, &closing)).await;
        }
    }
}

/// Closes a socket that no session is connected to.
async fn refuse(socket: Socket, closing: &Closing) {
    let (sink, stream) = socket.split();
    end(sink, stream, closing).await;
}

/// A socket that is connected to its session.
struct Attached {
    caller: Caller,
    watches: bool,
    requests: Requests,
    events: Events,
    form: Form,
}

/// Connects the socket to its session.
async fn attach(
    app: &App,
    id: Option<SessionId>,
    query: &Query,
    (caller, prefix): (Caller, PathPrefix),
) -> Result<Attached, Closing> {
    query
        .only(PARAMETERS)
        .map_err(|error| Closing::invalid(error.code(), error.detail().to_owned()))?;
    let flag = |name| match query.boolean(name) {
        Ok(value) => Ok(value.unwrap_or(false)),
        Err(error) => Err(Closing::invalid(error.code(), error.detail().to_owned())),
    };
    let options = query.attach_options();
    let options =
        options.map_err(|error| Closing::invalid(error.code(), error.detail().to_owned()))?;
    let watches = options == AttachOptions::Watch;
    if !watches {
        let using = USING.check(&caller);
        using.map_err(|refusal| Closing::refused(&refusal))?;
    }
    let results = if flag("binary")? {
        ResultFrames::Binary
    } else {
        ResultFrames::Json
    };
    let id = id.ok_or_else(Closing::session_not_found)?;
    let session = app.system.session(id, caller.own()).await;
    let session = session.map_err(Closing::from)?;
    let mut attached = session.attach(options).await;
    let group = Group {
        session: id,
        watches,
    };
    if is_full(&attached) && app.presences.end_silent(group).await > 0 {
        // Their sockets tell the session that they have ended.
        for _ in 0..PLACE_TRIES {
            attached = session.attach(options).await;
            if !is_full(&attached) {
                break;
            }
            tokio::time::sleep(PLACE_PAUSE).await;
        }
    }
    match attached {
        Ok((requests, events)) => Ok(Attached {
            caller,
            watches,
            requests,
            events,
            form: Form {
                session_id: id,
                results,
                prefix,
            },
        }),
        Err(AttachError::Unanswered(error)) => Err(error.into()),
        Err(
            error @ (AttachError::TooManyConnections { .. } | AttachError::TooManyWatchers { .. }),
        ) => Err(Closing::too_many(error.to_string())),
        Err(error @ AttachError::AppendWithVoxels) => Err(Closing::invalid(
            ErrorCode::InvalidParameter,
            error.to_string(),
        )),
    }
}

fn is_full<T>(attached: &Result<T, AttachError>) -> bool {
    matches!(
        attached,
        Err(AttachError::TooManyConnections { .. } | AttachError::TooManyWatchers { .. })
    )
}

/// Runs both sides of the socket until one ends, then closes it.
///
/// What is only needed at the beginning is done before there is a future, which would hold it to its end.
fn pump(
    app: &App,
    socket: Socket,
    attached: Attached,
    (from, needs, pace): (IpAddr, Needs, Pace),
) -> impl Future<Output = ()> {
    let Attached {
        caller,
        watches,
        requests,
        mut events,
        form,
    } = attached;
    let id = form.session_id;
    let meter = socket.get_ref().meter().clone();
    match watches {
        true => meter.begin_small(),
        false => meter.begin(requests.memory().clone(), app.options.message_limit()),
    }
    let open = app.metrics.sockets.opened();
    let (mut sink, stream) = socket.split();
    let pings = Pings::new(app.options.ping_interval);
    let stop_reading = CancellationToken::new();
    let presences = &app.presences;
    let group = Group {
        session: id,
        watches,
    };
    let listed = presences.add(group, meter.clone(), pings.clone(), stop_reading.clone());
    let deliveries = Deliveries::new(pings, app.options.max_pending_requests + 1);
    let stop_writing = CancellationToken::new();
    let reader = Reader {
        stream,
        requests,
        meter,
        deliveries: deliveries.clone(),
        pace,
        notes: (!watches).then(|| Notes::new(app.audit.clone(), caller.clone(), from, id)),
        presence: listed.presence().clone(),
        message_limit: app.options.message_limit(),
        stop: stop_reading.clone(),
        stop_writing: stop_writing.clone(),
        metrics: app.metrics.clone(),
    };
    let reader = tokio::spawn(reader.run().instrument(tracing::Span::current()));
    let mut reader = AbortOnDropHandle::new(reader);
    async move {
        // Both tell that the socket is there.
        let _there = (open, &listed);
        let mut lost = None;
        let written = {
            let writing = write(
                &app.metrics,
                &mut sink,
                &form,
                &mut events,
                &deliveries,
                (listed.presence(), &stop_writing),
            );
            let mut writing = pin!(writing);
            let needs = if watches { needs } else { USING };
            let mut losing = Box::pin(app.auth.lost(&caller, needs));
            tokio::select! {
                written = &mut writing => written,
                refusal = &mut losing => {
                    lost = Some(refusal);
                    stop_reading.cancel();
                    stop_writing.cancel();
                    // The message that is being written is written to its end.
                    writing.await
                }
            }
        };
        // What the client sent before a failure may say why it went.
        let last_words = match written {
            WriteEnd::Lost => LAST_WORDS,
            _ => Duration::ZERO,
        };
        let joined = match tokio::time::timeout(last_words, &mut reader).await {
            Ok(joined) => joined,
            Err(_) => {
                stop_reading.cancel();
                reader.await
            }
        };
        let (read, stream) = match joined {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "defect: the task that reads a socket panicked; its client is disconnected");
                return;
            }
        };
        // In the order of the answers: those that were written, then those that were not.
        deliveries.give_back();
        drop(events);
        let closing = match (written, read) {
            (WriteEnd::Stopped, _) if let Some(refusal) = lost => {
                let refused = Refused {
                    refusal,
                    caller: Some(caller),
                };
                app.audit.refused(&refused, from, ROUTE);
                Closing::refused(&refused.refusal)
            }
            (WriteEnd::Lost, _) | (WriteEnd::Stopped, ReadEnd::Gone | ReadEnd::Stopped) => return,
            (WriteEnd::SessionEnded(reason), _) => reason.into(),
            (WriteEnd::Unconfirmed, _) => Closing::unconfirmed(),
            (WriteEnd::Unreadable(error), _) => {
                tracing::error!(%error, "a result cannot be read to its end");
                let metrics = app.system.metrics();
                metrics.error(ErrorKind::Storage, Some(id), &error.to_string());
                Closing::unreadable()
            }
            (WriteEnd::Dropped, _) if is_there(app, id).await => Closing::too_slow(),
            (WriteEnd::Dropped, _) => CloseReason::Failed.into(),
            (WriteEnd::Stopped, ReadEnd::Refused(closing)) => {
                if closing.error == ErrorCode::TooManyRequests {
                    let word = closing.error.into();
                    app.audit.turned_away(word, Some(&caller), from, ROUTE);
                }
                app.system
                    .metrics()
                    .error(ErrorKind::Socket, Some(id), &closing.reason);
                closing
            }
        };
        tracing::debug!(code = closing.code, reason = %closing.reason, "closing the socket");
        Box::pin(end(sink, stream, &closing)).await;
    }
}

/// Whether a session goes on.
async fn is_there(app: &App, id: SessionId) -> bool {
    Box::pin(app.system.session(id, Whose::Anyones))
        .await
        .is_ok()
}

/// Tells the client why the socket closes, and waits for it.
async fn end(mut sink: SplitSink<Socket, Message>, stream: SplitStream<Socket>, closing: &Closing) {
    if send_close(&mut sink, closing).await.is_ok() {
        linger(sink, stream).await;
    }
}

/// Tells the client that the socket closes and why.
async fn send_close(
    sink: &mut SplitSink<Socket, Message>,
    closing: &Closing,
) -> Result<(), SendError> {
    if closing.announced {
        send(sink, outgoing::error(closing.error, &closing.reason), None).await?;
    }
    Ok(sink.send(Message::Close(Some(closing.frame()))).await?)
}

/// Waits for the client to close its side. Data that it still sends is discarded: with unread data the
/// kernel would reset the connection, and the client might not receive the reason.
async fn linger(sink: SplitSink<Socket, Message>, stream: SplitStream<Socket>) {
    let Ok(mut socket) = sink.reunite(stream) else {
        return;
    };
    let drained = tokio::time::timeout(CLOSE_TIMEOUT, socket.get_mut().drain());
    if !matches!(drained.await, Ok(Ok(()))) {
        tracing::debug!("the client did not close its side");
    }
}
