//! The dispatcher: an actor with one bounded, fair queue of jobs for all sessions, and the workers
//! that do them.
//!
//! The pool supervises its workers. A worker that panics, is killed or whose model call failed is
//! restarted alone; a job that was lost with its worker is retried once. Every job ends exactly
//! once.

mod batch;
mod device_memory;
mod dispatcher;
mod encoded_frames;
mod job;
mod message;
mod nodes;
mod queue;
mod remote_worker;
mod seat;
mod slot;
mod state;
mod task;
mod thread;
mod turn;
mod worker;

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::watch;

use crate::actor_status::ActorStatus;
use crate::blobs::Blobs;
use crate::jobs::DispatcherStatus;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::remote::gateway::Gateway;
use crate::settings::PoolSettings;
use device_memory::DeviceMemory;
pub(crate) use dispatcher::PoolDispatcher;
use encoded_frames::EncodedFrames;
use message::PoolMessage;
use state::State;

/// The actor.
struct Pool;

/// What the pool needs.
#[derive(Clone)]
struct PoolArgs {
    pub settings: Arc<PoolSettings>,
    /// Gives jobs to other machines, if there are any.
    pub gateway: Option<Arc<Gateway>>,
    /// Where frames are read and predictions are written.
    pub blobs: Arc<dyn Blobs>,
    /// Outlives a restart of the pool.
    pub encoded: Arc<EncodedFrames>,
    /// Outlives a restart of the pool, too: threads of the last one may still run.
    pub memory: Arc<DeviceMemory>,
    /// Where the pool publishes whether jobs can be done.
    pub readiness: watch::Sender<DispatcherStatus>,
    pub status: Arc<ActorStatus>,
    pub metrics: Arc<Metrics>,
}

impl Pool {
    /// Starts the pool and its workers under the supervisor.
    pub async fn spawn(
        args: PoolArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<PoolMessage>, SpawnErr> {
        let status = args.status.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, status))
    }
}

impl Actor for Pool {
    type Msg = PoolMessage;
    type State = State;
    type Arguments = PoolArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.status.started(&myself.get_id());
        let mailbox = Mailbox::new(myself, args.status.clone());
        let mut state = State::new(args, mailbox);
        state.start().await;
        Ok(state)
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
                state.worker_ended(&actor, &error.to_string());
            }
            SupervisionEvent::ActorTerminated(actor, worker_state, reason) => {
                // Dropping the state abandons the worker's thread: before its jobs are retried.
                drop(worker_state);
                state.worker_ended(&actor, reason.as_deref().unwrap_or("it was stopped"));
            }
            _ => {}
        }
        Ok(())
    }
}
