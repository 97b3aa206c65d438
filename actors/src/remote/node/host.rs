//! The actor that supervises the pool of a node.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use crate::actor_status::ActorStatus;
use crate::error_kind::ErrorKind;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::pool::PoolDispatcher;

/// The actor.
pub(super) struct Host;

/// It gets no messages.
pub(super) enum HostMessage {}

/// What it supervises.
pub(super) struct State {
    dispatcher: Arc<PoolDispatcher>,
    metrics: Arc<Metrics>,
    myself: ActorCell,
}

impl Host {
    /// Starts the actor, and the pool under it.
    pub async fn spawn(
        dispatcher: Arc<PoolDispatcher>,
        metrics: Arc<Metrics>,
    ) -> Result<Mailbox<HostMessage>, SpawnErr> {
        let status = ActorStatus::new("host", "host".to_owned());
        let (actor, _) = Actor::spawn(None, Self, (dispatcher, metrics)).await?;
        Ok(Mailbox::new(actor, status))
    }
}

impl Actor for Host {
    type Msg = HostMessage;
    type State = State;
    type Arguments = (Arc<PoolDispatcher>, Arc<Metrics>);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (dispatcher, metrics): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        dispatcher.start(myself.get_cell()).await?;
        Ok(State {
            dispatcher,
            metrics,
            myself: myself.get_cell(),
        })
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                state.pool_ended(&actor, &error.to_string()).await;
            }
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                let reason = reason.as_deref().unwrap_or("it was stopped");
                state.pool_ended(&actor, reason).await;
            }
            _ => {}
        }
        Ok(())
    }
}

impl State {
    async fn pool_ended(&self, actor: &ActorCell, reason: &str) {
        if !self.dispatcher.is_pool(actor) {
            return;
        }
        tracing::error!(%reason, "the pool of workers failed; it is restarted");
        self.dispatcher.failed(reason);
        self.metrics.error(ErrorKind::Internal, None, reason);
        if let Err(error) = self.dispatcher.start(self.myself.clone()).await {
            tracing::error!(%error, "the pool of workers cannot be restarted; restart the program");
        }
    }
}
