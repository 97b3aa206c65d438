//! The supervisor: starts the pool and the sessions, also those of an earlier process, restarts the pool
//! and sessions when they fail, and removes a session's files however it ended.

mod leftovers;
mod message;
mod state;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use crate::actor_status::ActorStatus;
use crate::blobs::Blobs;
use crate::ids::SessionId;
use crate::journal::Journals;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pool::PoolDispatcher;
use crate::session::restore::Restored;
use crate::settings::Settings;
use crate::sharing::{Adopter, Adoption, SharedFiles, SharingError};
pub(crate) use message::{SessionMailbox, SupervisorMessage};
use state::State;

/// The actor.
pub(crate) struct Supervisor;

/// What the supervisor needs.
pub(crate) struct SupervisorArgs {
    pub settings: Arc<Settings>,
    pub blobs: Arc<dyn Blobs>,
    pub journals: Journals,
    /// The sessions of an earlier process, the oldest first.
    pub restored: Vec<Restored>,
    /// Its pool is started under the supervisor.
    pub dispatcher: Arc<PoolDispatcher>,
    /// Started under the supervisor, too.
    pub outbox: Option<Outbox>,
    pub status: Arc<ActorStatus>,
    pub metrics: Arc<Metrics>,
    /// Whether the system shuts down.
    pub ending: Arc<AtomicBool>,
    /// The files of sessions that are shared with other gateways, if they are.
    pub shared: Option<Arc<SharedFiles>>,
}

impl Supervisor {
    /// Starts the supervisor, and the pool under it.
    pub async fn spawn(args: SupervisorArgs) -> Result<Mailbox<SupervisorMessage>, SpawnErr> {
        let status = args.status.clone();
        let (actor, _) = Actor::spawn(None, Self, args).await?;
        Ok(Mailbox::new(actor, status))
    }
}

/// Longest time to restore a session that another gateway had. One that takes longer goes on later.
const LONGEST_ADOPTION: Duration = Duration::from_secs(60);

impl Adopter for Mailbox<SupervisorMessage> {
    fn adopt(&self, session: SessionId) -> BoxFuture<'_, Result<Adoption, SharingError>> {
        Box::pin(async move {
            let adopt = |reply| SupervisorMessage::Adopt { id: session, reply };
            let adopted = self.ask_within(LONGEST_ADOPTION, adopt).await;
            adopted.map_err(SharingError::new)
        })
    }
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = State;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.status.started(&myself.get_id());
        args.status.state("running");
        Ok(State::start(args, myself).await?)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.handle(message).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                state.child_ended(&actor, Some(&error.to_string())).await;
            }
            SupervisionEvent::ActorTerminated(actor, child_state, _) => {
                // A session's state cancels its work when it is dropped: before its files go.
                drop(child_state);
                state.child_ended(&actor, None).await;
            }
            _ => {}
        }
        Ok(())
    }
}
