//! What gateways tell all nodes, and ask one of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::errors::RestartError;
use crate::jobs::Dispatcher as _;
use crate::remote::wire::{self, Control, Restarted};

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
        }
    }

    /// Restarts workers when servers ask for it, until `stop`.
    pub async fn restart_workers(self: Arc<Self>, stop: CancellationToken) {
        let answer = async {
            loop {
                let subject = self.link.names.restart(self.id);
                match self.link.client.subscribe(subject).await {
                    Ok(mut questions) => {
                        while let Some(question) = questions.next().await {
                            if let (Some(reply), Ok(worker)) =
                                (question.reply, wire::read(&question.payload))
                            {
                                let restarted = self.restart_worker(worker).await;
                                self.link.tell(reply.to_string(), &restarted).await;
                            }
                        }
                    }
                    Err(error) => tracing::warn!(%error, "servers cannot restart workers here"),
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        };
        tokio::select! {
            () = answer => {}
            () = stop.cancelled() => {}
        }
    }

    async fn restart_worker(&self, worker: usize) -> Restarted {
        let (reply, answer) = oneshot::channel();
        self.dispatcher.restart_worker(worker, reply);
        match answer.await {
            Ok(Ok(())) => Restarted::Yes,
            Ok(Err(RestartError::NoSuchWorker { .. })) => Restarted::NoSuchWorker,
            Ok(Err(RestartError::TooSoon { seconds, .. })) => Restarted::TooSoon { seconds },
            Ok(Err(RestartError::Starting { .. } | RestartError::Unanswered(_))) | Err(_) => {
                Restarted::Starting
            }
        }
    }
}
