//! What gateways tell all nodes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::jobs::Dispatcher as _;
use crate::remote::wire::{self, Control};

/// How long it waits before it listens again.
const RETRY_DELAY: Duration = Duration::from_secs(2);

impl Shared {
    /// Does what gateways say, until `stop`.
    pub async fn obey(self: Arc<Self>, stop: CancellationToken) {
        let listen = async {
            loop {
                match self.link.client.subscribe(self.link.names.control()).await {
                    Ok(mut messages) => {
                        while let Some(message) = messages.next().await {
                            match wire::read(&message.payload) {
                                Ok(message) => self.do_as_told(message).await,
                                Err(error) => {
                                    tracing::debug!(%error, "a message is not understood");
                                }
                            }
                        }
                    }
                    Err(error) => tracing::warn!(%error, "servers cannot cancel jobs here"),
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        };
        tokio::select! {
            () = listen => {}
            // Running jobs can be cancelled while they end.
            () = async { stop.cancelled().await; self.running.wait().await; } => {}
        }
    }

    async fn do_as_told(&self, message: Control) {
        match message {
            Control::Cancel(assignment) => self.assignments.cancel(assignment),
            Control::MakeWay(assignment) => {
                for job in self.assignments.jobs(assignment) {
                    self.dispatcher.make_way(job);
                }
            }
            Control::Forget(session) => {
                self.dispatcher.forget(session);
                self.files.forget(session).await;
            }
            Control::ForgetFrames(session, frames) => {
                self.dispatcher.forget_frames(session, &frames);
            }
            Control::Restart { node, worker } if node == self.id => {
                let (reply, answer) = oneshot::channel();
                self.dispatcher.restart_worker(worker, reply);
                if let Ok(Err(error)) = answer.await {
                    tracing::warn!(worker, %error, "a worker is not restarted");
                }
            }
            Control::Restart { .. } => {}
        }
    }
}
