//! Addresses of actors, and work outside an actor that reports its outcome to it.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorRef, Message};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::actor_status::ActorStatus;
use crate::blocking::WorkFailed;

/// Where an actor sends the answer to a question.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// Actors answer at once. One that has not answered after this time is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The actor has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the actor has ended")]
pub(crate) struct ActorGone;

/// A question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum AskError {
    /// The actor has ended or dropped the question.
    #[error(transparent)]
    Gone(#[from] ActorGone),
    #[error("the actor does not answer in time")]
    Late,
}

/// The address of an actor. Counts the messages that are sent to it.
///
/// The runtime's mailboxes are unbounded, so every sender has a bound of its own: unanswered
/// messages of a client, jobs of a queue, steps of a generation.
#[derive(Debug)]
pub(crate) struct Mailbox<M: Message> {
    actor: ActorRef<M>,
    status: Arc<ActorStatus>,
}

impl<M: Message> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            status: self.status.clone(),
        }
    }
}

impl<M: Message> Mailbox<M> {
    pub fn new(actor: ActorRef<M>, status: Arc<ActorStatus>) -> Self {
        Self { actor, status }
    }

    pub fn actor(&self) -> &ActorRef<M> {
        &self.actor
    }

    pub fn status(&self) -> &Arc<ActorStatus> {
        &self.status
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// [`ActorGone`] if the actor has ended.
    pub fn cast(&self, message: M) -> Result<(), ActorGone> {
        self.actor.cast(message).map_err(|_| ActorGone)?;
        self.status.message_sent();
        Ok(())
    }

    /// Sends a message, or drops it if the actor has ended.
    pub fn notify(&self, message: M) {
        if self.cast(message).is_err() {
            tracing::trace!("message to an actor that has ended");
        }
    }

    /// Asks a question and waits for the answer.
    ///
    /// # Errors
    /// [`AskError`] if there is no answer.
    pub async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> M) -> Result<T, AskError> {
        self.ask_within(ANSWER_TIMEOUT, question).await
    }

    /// The same for an answer that may take longer.
    pub async fn ask_within<T>(
        &self,
        timeout: Duration,
        question: impl FnOnce(Reply<T>) -> M,
    ) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        self.cast(question(reply))?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ActorGone.into()),
            Err(_) => Err(AskError::Late),
        }
    }

    /// Sends a message after a delay.
    pub fn notify_after(&self, delay: Duration, message: M) {
        let mailbox = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            mailbox.notify(message);
        });
    }

    /// Runs work outside the actor and reports its outcome as exactly one message, also if the work
    /// panics. Dropping the returned handle aborts the work, and then no message is sent.
    #[must_use = "dropping the handle aborts the work"]
    pub fn work<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        to_message: impl FnOnce(Result<T, E>) -> M + Send + 'static,
    ) -> AbortOnDropHandle<()>
    where
        T: Send + 'static,
        E: From<WorkFailed> + Send + 'static,
    {
        let mailbox = self.clone();
        AbortOnDropHandle::new(tokio::spawn(
            async move {
                let work = tokio::spawn(work.in_current_span());
                let outcome = AbortOnDropHandle::new(work)
                    .await
                    .unwrap_or_else(|error| Err(WorkFailed::from(error).into()));
                mailbox.notify(to_message(outcome));
            }
            .in_current_span(),
        ))
    }

    /// Like [`work`](Self::work), but the work continues if the actor ends.
    pub fn detached_work<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        to_message: impl FnOnce(Result<T, E>) -> M + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<WorkFailed> + Send + 'static,
    {
        self.work(work, to_message).detach();
    }
}

/// Sends an answer, or drops it if the caller has stopped waiting.
pub(crate) fn answer<T>(reply: Reply<T>, value: T) {
    drop(reply.send(value));
}
