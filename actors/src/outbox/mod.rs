//! The outbox: it keeps the messages of webhooks until their receivers have them.
//!
//! Sessions say what has happened, once that is durable. The outbox writes it to its [file], a message
//! for each receiver, and delivers the messages by the service's [`Courier`]. A message is removed from
//! those that wait when its receiver has it, or when it was tried often enough.
//!
//! Each event has one identifier, made of its session and its place there. A session that is restored
//! says everything again that its journal has; what the outbox has had is not taken in again. So no event
//! is lost, and none gets a second message.

mod courier;
mod deliveries;
mod error;
mod event;
mod file;
mod handle;
mod message;
mod schedule;
mod state;
mod stored;
mod subscriptions;
mod turns;
mod untold;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

use crate::actor_status::ActorStatus;
use crate::journal::Durability;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
pub use courier::{
    Attempt, AttemptOutcome, Courier, Delivering, Letter, OperatorWebhook, Webhook, WebhookSecret,
};
pub use deliveries::{DeliveryFilter, DeliveryReport, DeliveryState};
pub use error::OutboxError;
pub use event::{Event, EventContent, EventType};
use file::OutboxFile;
pub(crate) use handle::Outbox;
pub use handle::WebhookError;
use message::OutboxMessage;
use state::State;
pub use stored::OutboxCounts;
pub(crate) use stored::{StoredOutbox, check, forget};
pub(crate) use subscriptions::Subscription;

/// The actor.
struct OutboxActor;

/// What the outbox needs.
#[derive(Clone)]
pub(crate) struct OutboxArgs {
    /// The open file, for the first actor.
    file: Arc<Mutex<Option<OutboxFile>>>,
    path: PathBuf,
    durability: Durability,
    courier: Arc<dyn Courier>,
    status: Arc<ActorStatus>,
    metrics: Arc<Metrics>,
    /// Whether another server may go on with sessions, which does not have the file.
    shared: bool,
}

impl OutboxArgs {
    fn take_file(&self) -> Option<OutboxFile> {
        let file = self.file.lock();
        file.unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl OutboxActor {
    /// Starts the outbox under the supervisor.
    async fn spawn(
        args: OutboxArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<OutboxMessage>, SpawnErr> {
        let status = args.status.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, status))
    }
}

impl Actor for OutboxActor {
    type Msg = OutboxMessage;
    type State = State;
    type Arguments = OutboxArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.status.started(&myself.get_id());
        let mailbox = Mailbox::new(myself, args.status.clone());
        Ok(State::new(args, mailbox))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.handle(message);
        match state.has_failed() {
            true => Err("the file of the outbox is lost".into()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
