//! One connection of a session: reads, writes, and what goes on beside.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::answers::{Link, blocking};
use crate::connection::{Loss, Socket, close, lost, next};
use crate::engine::Engine;
use crate::error::Error;
use crate::lock::lock;
use crate::outbox::Next;
use crate::pulse::{Pulse, Watched};
use crate::recovery::{follow, ping, recover};
use crate::wire::{decode, text};

/// How often we send a ping.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a message that is being sent may hold up the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long reading may go on when nothing can be sent any more.
const GRACE: Duration = Duration::from_secs(1);
/// Confirmations and pings that wait at most. Then reading waits, too.
const CONTROLS: usize = 16;
/// A larger message must not keep other tasks waiting while it is decoded.
const LARGE: usize = 1 << 20;

type Sink = SplitSink<WebSocketStream<Watched>, Message>;
type Stream = SplitStream<WebSocketStream<Watched>>;

/// Why a connection has ended.
pub(crate) enum End {
    /// We have left.
    Stopped,
    Lost(Error),
}

/// What came before a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// A client of which we know nothing. Answers that it has not got come first.
    Another,
    /// A connection of ours.
    Lost,
}

/// Uses a connection until it ends.
pub(crate) async fn serve(engine: &Arc<Engine>, socket: Socket, before: Before) -> End {
    let Socket { stream, pulse, .. } = socket;
    let (mut sink, mut stream) = stream.split();
    let (control, controls) = mpsc::channel(CONTROLS);
    let (fetches, fetching) = mpsc::channel(1);
    let link = Link { control, fetches };
    lock(&engine.state).ready = before == Before::Nothing;
    let dead_after = engine.usage.dead_after;
    let (end, farewell) = tokio::select! {
        Err(loss) = read(engine, &mut stream, &link) => match loss {
            Loss::Gone(error) => (End::Lost(error), Some(CloseCode::Normal)),
            // The server then keeps the result for us to fetch.
            Loss::TooLarge(error) => (End::Lost(error), Some(CloseCode::Size)),
        },
        end = write(engine, &mut sink, controls, &pulse) => (end, Some(CloseCode::Normal)),
        Err(error) = restore(engine, &link, before) => {
            (End::Lost(error), Some(CloseCode::Normal))
        }
        () = fetch(engine, fetching) => (End::Stopped, None),
        () = pulse.watch(dead_after) => {
            let reason = format!("the server has been silent for {dead_after:?}");
            // Nobody would hear a farewell.
            (End::Lost(lost(&reason)), None)
        }
        () = leave(engine) => (End::Stopped, None),
    };
    {
        let mut state = lock(&engine.state);
        state.ready = false;
        state.pings.clear();
    }
    if let (Some(code), Ok(mut socket)) = (farewell, sink.reunite(stream)) {
        close(&mut socket, code).await;
    }
    end
}

async fn read(engine: &Engine, stream: &mut Stream, link: &Link) -> Result<Infallible, Loss> {
    loop {
        let Some(message) = next(stream).await? else {
            continue;
        };
        let received = match message.len() > LARGE {
            true => blocking(move || decode(message)).await?,
            false => decode(message)?,
        };
        engine.take(received, link).await?;
    }
}

async fn write(
    engine: &Engine,
    sink: &mut Sink,
    mut controls: mpsc::Receiver<Message>,
    pulse: &Pulse,
) -> End {
    let period = PING_INTERVAL.min(engine.usage.dead_after);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            Some(message) = controls.recv() => message,
            () = engine.stopped() => return End::Stopped,
            next = from_outbox(engine) => match next {
                Next::Message(message) => message.encode(engine.usage.binary),
                Next::Cancel(id) => text(json!({"type": "cancel", "id": id})),
            },
            _ = ticks.tick() => Message::Ping(Bytes::new()),
        };
        let ping = message.is_ping();
        pulse.begin();
        if let Err(error) = sink.send(message).await {
            // Why the server has closed the connection may still be read, and says more.
            sleep(GRACE).await;
            return End::Lost(lost(&error));
        }
        pulse.end(ping);
    }
}

async fn from_outbox(engine: &Engine) -> Next {
    loop {
        {
            let mut state = lock(&engine.state);
            if state.ready
                && let Some(next) = state.outbox.next()
            {
                return next;
            }
        }
        engine.wake.notified().await;
    }
}

/// Takes what came before. Then messages go on.
async fn restore(engine: &Engine, link: &Link, before: Before) -> Result<Infallible, Error> {
    let followed = match before {
        Before::Nothing => None,
        Before::Another => ping(engine, link).await.map(|()| None)?,
        Before::Lost => recover(engine, link).await?,
    };
    lock(&engine.state).ready = true;
    engine.wake.notify_one();
    if let Some(id) = followed {
        follow(engine, link, &id).await?;
    }
    std::future::pending().await
}

/// Fetches results that are too large for a message, while others are read.
async fn fetch(engine: &Engine, mut fetching: mpsc::Receiver<(String, String)>) {
    while let Some((id, path)) = fetching.recv().await {
        engine.fetch(&id, Some(&path)).await;
    }
}

/// Returns when whoever leaves has waited long enough for what is being sent.
async fn leave(engine: &Engine) {
    engine.stopped().await;
    sleep(PATIENCE).await;
}
