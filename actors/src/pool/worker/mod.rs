//! A worker: the actor in front of the thread that owns a device and the model on it.

mod message;
mod state;

use std::sync::Arc;

use pointstream_reconstruction::model::{Device, FramesPerCall, LoadModel};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

use super::PoolMessage;
use super::task::TaskContext;
use super::thread::ThreadGuard;
use crate::actor_status::ActorStatus;
use crate::mailbox::Mailbox;
pub(crate) use message::{WorkerEvent, WorkerMessage, WorkerReport};
use state::State;

/// The actor. It fails, and the pool restarts it, when its model may be broken.
pub(crate) struct Worker;

/// What a worker needs.
pub(crate) struct WorkerArgs {
    /// Its slot.
    pub index: usize,
    /// Number of its life.
    pub incarnation: u64,
    pub model: Arc<dyn LoadModel>,
    pub device: Device,
    pub frames_per_call: FramesPerCall,
    pub context: TaskContext,
    /// For its thread.
    pub thread: Arc<ThreadGuard>,
    pub status: Arc<ActorStatus>,
    pub pool: Mailbox<PoolMessage>,
}

impl Worker {
    /// Starts a worker under the pool. Its thread loads the model afterwards.
    pub async fn spawn(
        args: WorkerArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<WorkerMessage>, SpawnErr> {
        let status = args.status.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, status))
    }
}

impl Actor for Worker {
    type Msg = WorkerMessage;
    type State = State;
    type Arguments = WorkerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.status.started(&myself.get_id());
        let mailbox = Mailbox::new(myself, args.status.clone());
        Ok(State::start(args, mailbox)?)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.handle(message)
    }
}
