//! The address of the outbox, for the other actors and the service.

use std::sync::Arc;

use ractor::{ActorCell, SpawnErr};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use super::deliveries::{DeliveryFilter, DeliveryReport};
use super::event::Event;
use super::message::{DoneReply, NotDone, Order, OutboxMessage};
use super::subscriptions::Subscription;
use super::{OutboxActor, OutboxArgs};
use crate::error_code::ErrorCode;
use crate::errors::{StorageFailed, Unanswered};
use crate::ids::SessionId;
use crate::journal::Told;
use crate::mailbox::{AskError, Mailbox};
use crate::report::ActorReport;

/// Why the outbox does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebhookError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("there is no message {0}; it may have been removed")]
    NoSuchDelivery(u64),
    #[error("{reason}")]
    Storage {
        /// Whether the disk is full, or another error.
        code: ErrorCode,
        reason: String,
    },
    #[error("earlier events of the session are only in its journal")]
    Behind,
}

impl From<WebhookError> for StorageFailed {
    fn from(error: WebhookError) -> Self {
        let code = match &error {
            WebhookError::Storage { code, .. } => *code,
            _ => ErrorCode::Internal,
        };
        Self::new(code, &error)
    }
}

/// The outbox of the system. Clones share it.
#[derive(Clone)]
pub(crate) struct Outbox {
    /// What the actor is started with, and started again.
    args: Arc<OutboxArgs>,
    /// The actor's address, once it was started.
    actor: Arc<watch::Sender<Option<Mailbox<OutboxMessage>>>>,
}

impl Outbox {
    /// An outbox whose actor is not started yet.
    pub(super) fn new(args: OutboxArgs) -> Self {
        Self {
            args: Arc::new(args),
            actor: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Starts the actor under the supervisor, for the first time or after a failure.
    pub async fn start(&self, supervisor: ActorCell) -> Result<(), SpawnErr> {
        let actor = OutboxActor::spawn(OutboxArgs::clone(&self.args), supervisor).await?;
        self.actor.send_replace(Some(actor));
        Ok(())
    }

    /// Whether this is the outbox's actor.
    pub fn is_outbox(&self, actor: &ActorCell) -> bool {
        self.actor()
            .is_some_and(|outbox| outbox.actor().get_id() == actor.get_id())
    }

    #[cfg(test)]
    pub fn actor_cell(&self) -> Option<ActorCell> {
        self.actor().map(|actor| actor.actor().get_cell())
    }

    /// The actor has failed.
    pub fn failed(&self, reason: &str) {
        self.args.status.failed(reason.to_owned());
    }

    pub fn report(&self) -> ActorReport {
        self.args.status.report()
    }

    /// Whether the operator is told of all sessions.
    pub fn has_operator(&self) -> bool {
        self.args.courier.operator().is_some()
    }

    /// Adds who is told of a session.
    pub async fn subscribe(&self, new: Subscription) -> Result<(), WebhookError> {
        self.ask(|reply| Order::Subscribe(Box::new(new), reply))
            .await
    }

    /// Forgets a session that was not created.
    pub fn forget(&self, session: SessionId) {
        self.notify(Order::Forget(session));
    }

    /// Things that are durable have happened to a session, perhaps before. `told` learns when the outbox
    /// has them.
    pub fn tell(&self, session: SessionId, events: Vec<Event>, told: Told) {
        self.notify(Order::TakeIn {
            session,
            events: self.with_bodies(events),
            told,
        });
    }

    /// A session ends. `had` are the events before, if they may not have been told. Returns when all are
    /// durable.
    ///
    /// # Errors
    /// [`WebhookError::Behind`] if events were lost here, so that `had` is needed.
    pub async fn tell_end(&self, had: Option<Vec<Event>>, end: Event) -> Result<(), WebhookError> {
        let (session, complete) = (end.session, had.is_some());
        let mut events = had.unwrap_or_default();
        events.push(end);
        let events = self.with_bodies(events);
        let order = |reply| Order::End {
            session,
            events,
            complete,
            reply,
        };
        self.ask(order).await
    }

    fn with_bodies(&self, events: Vec<Event>) -> Vec<(Event, String)> {
        let messages = events.into_iter().map(|event| {
            let body = self.args.courier.body(&event);
            (event, body)
        });
        messages.collect()
    }

    pub async fn list(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryReport>, WebhookError> {
        self.ask(|reply| Order::List(filter, reply)).await
    }

    /// Tries a message again.
    pub async fn redeliver(&self, number: u64) -> Result<(), WebhookError> {
        match self.ask(|reply| Order::Redeliver(number, reply)).await? {
            true => Ok(()),
            false => Err(WebhookError::NoSuchDelivery(number)),
        }
    }

    /// Starts no more attempts, and returns when none is made any more.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        let asked = self
            .actor()
            .map(|actor| actor.cast(OutboxMessage::Close(reply)));
        if let Some(Ok(())) = asked {
            // Dropped only if the actor has failed: then no attempt is made.
            let _ = closed.await;
        }
    }

    fn actor(&self) -> Option<Mailbox<OutboxMessage>> {
        self.actor.borrow().clone()
    }

    fn notify(&self, order: Order) {
        if let Some(actor) = self.actor() {
            actor.notify(OutboxMessage::Order(order));
        }
    }

    async fn ask<T>(&self, order: impl FnOnce(DoneReply<T>) -> Order) -> Result<T, WebhookError> {
        let actor = self.actor().ok_or(Unanswered::ShuttingDown)?;
        let answered = actor.ask(|reply| OutboxMessage::Order(order(reply))).await;
        let done = answered.map_err(|error| match error {
            AskError::Gone(_) => Unanswered::ShuttingDown,
            AskError::Late => Unanswered::Busy,
        })?;
        done.map_err(|error| match error {
            NotDone::Storage { code, reason } => WebhookError::Storage { code, reason },
            NotDone::Behind => WebhookError::Behind,
        })
    }
}
