//! Finds out what a lost connection has cost, and has that sent again.
//!
//! Messages of a connection arrive in their order, and each has an identifier of its own. The server
//! lists the identifiers of stored images, and resends answers that were not confirmed. So an image
//! that it has is not sent again, and a request that it has is not made twice.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::answers::Link;
use crate::connection::lost;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Ack, Event};
use crate::lock::lock;
use crate::outbox::{Kind, cancelled};
use crate::remote::{SessionState, StoredImage};
use crate::wire::text;

/// The first pause between two looks at the session, and the longest.
const SOON: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_secs(5);

/// Has sent again what was lost. Returns a request that has to be followed after that.
pub(crate) async fn recover(engine: &Engine, link: &Link) -> Result<Option<String>, Error> {
    let is_image = |kind: Kind| kind == Kind::Image;
    if !sent(engine, is_image).is_empty() {
        find_images(engine, is_image).await?;
    }
    let mut followed = None;
    if !sent(engine, Kind::is_request).is_empty() {
        // Before the ping: an answer that is sent in between precedes the pong.
        let found = engine.remote.state().await?;
        ping(engine, link).await?;
        for id in sent(engine, Kind::is_request) {
            if lock(&engine.state).outbox.is_cancelled(&id) {
                // It may run, or may not have arrived.
                send(link, json!({"type": "cancel", "id": id})).await?;
                lock(&engine.state).outbox.answer(&id, Err(cancelled()));
            } else if found.is_running() {
                followed = Some(id);
            } else {
                request_again(engine, &found, &id).await;
            }
        }
    }
    let mut state = lock(&engine.state);
    for id in state.outbox.sent(|kind| !kind.is_request()) {
        state.outbox.again(&id);
    }
    Ok(followed)
}

/// Makes the request if what runs was not it, but one of another client.
pub(crate) async fn follow(engine: &Engine, link: &Link, id: &str) -> Result<(), Error> {
    let mut pause = SOON;
    while waits(engine, id) {
        sleep(pause).await;
        pause = LATE.min(2 * pause);
        let found = engine.remote.state().await?;
        if found.is_running() {
            continue;
        }
        ping(engine, link).await?;
        if waits(engine, id) {
            request_again(engine, &found, id).await;
        }
        break;
    }
    Ok(())
}

/// Makes a request that did not arrive.
async fn request_again(engine: &Engine, found: &SessionState, id: &str) {
    let kind = lock(&engine.state).outbox.kind(id);
    if found.status == "completed" && kind == Some(Kind::Finalize) {
        // It did arrive, and its answer is not kept any more.
        engine.fetch(id, None).await;
        return;
    }
    lock(&engine.state).outbox.again(id);
    engine.wake.notify_one();
}

/// Acknowledges the images that the server has.
async fn find_images(engine: &Engine, is_image: fn(Kind) -> bool) -> Result<(), Error> {
    let began = Instant::now();
    let mut pause = SOON;
    loop {
        // Before the list: what is pending now is in it, or is looked for again.
        let pending = engine.remote.state().await?.pending_images;
        let stored = engine.remote.images().await?;
        let stored: HashMap<&str, &StoredImage> = stored
            .iter()
            .filter_map(|image| Some((image.id.as_deref()?, image)))
            .collect();
        for id in sent(engine, is_image) {
            if let Some(image) = stored.get(id.as_str()) {
                engine.answered(Event::Ack(Ack {
                    image_count: image.index + 1,
                    image_path: image.image_path.clone(),
                    id,
                }));
            }
        }
        if pending == 0 || sent(engine, is_image).is_empty() {
            return Ok(());
        }
        if began.elapsed() > engine.remote.rest.transport.timeout {
            return Err(lost(&"the server does not finish storing images"));
        }
        sleep(pause).await;
        pause = LATE.min(2 * pause);
    }
}

/// Waits until the server has answered everything that it had answered before.
pub(crate) async fn ping(engine: &Engine, link: &Link) -> Result<(), Error> {
    let (pong, answer) = oneshot::channel();
    lock(&engine.state).pings.push_back(pong);
    send(link, json!({"type": "ping"})).await?;
    answer.await.map_err(|_| lost(&"it ended before a pong"))
}

async fn send(link: &Link, message: serde_json::Value) -> Result<(), Error> {
    let sent = link.control.send(text(message)).await;
    sent.map_err(|_| lost(&"it has ended"))
}

fn sent(engine: &Engine, which: fn(Kind) -> bool) -> Vec<String> {
    lock(&engine.state).outbox.sent(which)
}

fn waits(engine: &Engine, id: &str) -> bool {
    lock(&engine.state).outbox.kind(id).is_some()
}
