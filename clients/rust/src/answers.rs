//! Takes what the server says, and gives it to who waits for it.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::connection::refusal_in;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, Scene, parse};
use crate::lock::lock;
use crate::outbox::{Answer, Kind};
use crate::parameters::Deltas;
use crate::wire::{Received, text};

/// To the connection of the moment.
pub(crate) struct Link {
    /// Small messages that do not wait for answers.
    pub control: mpsc::Sender<Message>,
    /// Requests whose result is too large for a message, with the path of the result.
    pub fetches: mpsc::Sender<(String, String)>,
}

impl Engine {
    /// Takes a message of the server.
    pub async fn take(&self, message: Received, link: &Link) -> Result<(), Error> {
        match message.kind.as_str() {
            "pong" => {
                if let Some(waiting) = lock(&self.state).pings.pop_front() {
                    // Whoever waited may have given up.
                    let _ = waiting.send(());
                }
            }
            "error" => self.refused(&message, link).await,
            _ => match parse(message)? {
                Some(Event::Scene(scene)) => self.deliver(scene, link).await?,
                Some(event) => self.answered(event),
                None => {}
            },
        }
        Ok(())
    }

    /// Gives an answer to who waits for it.
    pub fn answered(&self, event: Event) {
        self.subscribers.emit(&event);
        let (id, answer) = match event {
            Event::Ack(ack) => (Some(ack.id.clone()), Answer::Ack(ack)),
            Event::Scene(scene) => (scene.id.clone(), Answer::Scene(scene)),
            Event::Poses(poses) => (poses.id.clone(), Answer::Poses(poses)),
            _ => return,
        };
        let mut state = lock(&self.state);
        state.attempts = 0;
        if let Some(id) = id {
            state.outbox.answer(&id, Ok(answer));
        }
    }

    /// Applies a result, confirms it, and gives it to who asked.
    async fn deliver(&self, scene: Scene, link: &Link) -> Result<(), Error> {
        if let Some(append) = scene.append()? {
            let cloud = Arc::clone(&lock(&self.state).cloud);
            // One that was lost after it was applied comes again.
            if cloud.number().is_none_or(|newest| append.number > newest) {
                let glb = scene.glb.clone();
                let after = blocking(move || cloud.after(append, &glb)).await?;
                lock(&self.state).cloud = Arc::new(after);
            }
        }
        if let Some(number) = scene.number {
            let confirmation = text(json!({"type": "received", "number": number}));
            // Without a connection the result comes again.
            let _ = link.control.send(confirmation).await;
        }
        self.answered(Event::Scene(scene));
        Ok(())
    }

    async fn refused(&self, message: &Received, link: &Link) {
        let refusal = refusal_in(&message.fields);
        let id = message.fields.get("id").and_then(|id| id.as_str());
        let kind = id.and_then(|id| lock(&self.state).outbox.kind(id));
        let url = refusal.result_url.clone();
        let error = refusal.into_error();
        // `cancel` names the request as well: its error does not answer the request.
        if let (Some(id), Some(kind)) = (id, kind)
            && error.code() != Some("nothing_to_cancel")
        {
            lock(&self.state).attempts = 0;
            // A whole result in place of an update would leave the cloud behind without a word.
            let update = self.usage.deltas == Deltas::Append && kind == Kind::Update;
            match url {
                Some(url) if !update => {
                    let _ = link.fetches.send((id.to_owned(), url)).await;
                    return;
                }
                _ => lock(&self.state).outbox.answer(id, Err(error.clone())),
            }
        }
        let id = id.map(str::to_owned);
        self.subscribers.emit(&Event::Refused { error, id });
    }

    /// Takes the newest result over HTTP as the answer to a request.
    pub async fn fetch(&self, id: &str, path: Option<&str>) {
        match self.remote.newest_scene(id, path).await {
            Ok(scene) => self.answered(Event::Scene(scene)),
            Err(error) => lock(&self.state).outbox.answer(id, Err(error)),
        }
    }
}

/// Work that would keep other tasks waiting.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    // It fails only when the runtime ends.
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Error::Closed))
}
