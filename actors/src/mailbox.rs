//! How actors are addressed.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorRef, Message};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::gauge::Gauge;

/// Where an actor sends its answer to a question.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// Actors answer at once; one that has not within this time is stuck or gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The actor does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the actor does not run any more")]
pub(crate) struct ActorGone;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum AskError {
    /// The actor does not run any more, or dropped the question.
    #[error(transparent)]
    Gone(#[from] ActorGone),
    /// The answer takes too long.
    #[error("the actor does not answer in time")]
    Late,
}

/// An actor's address that counts what is sent there.
///
/// The runtime's mailboxes have no bound of their own: every sender is bounded by something else
/// (unanswered messages of a connection, jobs of a queue, steps of a generation).
#[derive(Debug)]
pub(crate) struct Mailbox<M: Message> {
    actor: ActorRef<M>,
    gauge: Arc<Gauge>,
}

impl<M: Message> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            gauge: self.gauge.clone(),
        }
    }
}

impl<M: Message> Mailbox<M> {
    /// The address of an actor with its gauge.
    pub fn new(actor: ActorRef<M>, gauge: Arc<Gauge>) -> Self {
        Self { actor, gauge }
    }

    /// The actor behind it.
    pub fn actor(&self) -> &ActorRef<M> {
        &self.actor
    }

    /// The actor's gauge.
    pub fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// [`ActorGone`] if nobody will ever read it.
    pub fn cast(&self, message: M) -> Result<(), ActorGone> {
        self.actor.cast(message).map_err(|_| ActorGone)?;
        self.gauge.message_sent();
        Ok(())
    }

    /// Asks a question and waits for the answer.
    ///
    /// # Errors
    /// [`AskError`] if there is no answer.
    pub async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> M) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        self.cast(question(reply))?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ActorGone.into()),
            Err(_) => Err(AskError::Late),
        }
    }

    /// Sends a message after a while; drop the handle's task by aborting it.
    pub fn cast_after(&self, delay: Duration, message: M) -> tokio::task::AbortHandle {
        let mailbox = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // Gone meanwhile: then nobody waits for the message either.
            let _ = mailbox.cast(message);
        })
        .abort_handle()
    }
}

/// Sends an answer; one who does not wait for it any more does not need it.
pub(crate) fn answer<T>(reply: Reply<T>, value: T) {
    let _ = reply.send(value);
}
