//! A remote worker: the actor in front of a worker of another machine. To the pool it is like a local one.

mod carry_out;

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use tokio_util::task::AbortOnDropHandle;

use super::task::{Finished, JobOutcomes};
use super::thread::ThreadEvent;
use super::worker::{WorkerEvent, WorkerMessage, WorkerReport};
use super::{DeviceMemory, PoolMessage};
use crate::actor_status::ActorStatus;
use crate::blobs::Blobs;
use crate::blocking::WorkFailed;
use crate::mailbox::Mailbox;
use crate::remote::NodeId;
use crate::remote::gateway::Gateway;

/// The actor.
pub(super) struct RemoteWorker;

/// What a remote worker needs.
pub(super) struct RemoteWorkerArgs {
    /// Its slot.
    pub index: usize,
    /// Number of its life.
    pub incarnation: u64,
    pub node: NodeId,
    pub gateway: Arc<Gateway>,
    pub blobs: Arc<dyn Blobs>,
    /// Point clouds of its results are made in the memory of this machine.
    pub memory: Arc<DeviceMemory>,
    pub status: Arc<ActorStatus>,
    pub pool: Mailbox<PoolMessage>,
}

/// The state of a remote worker.
pub(super) struct State {
    args: RemoteWorkerArgs,
    mailbox: Mailbox<WorkerMessage>,
    /// The assignment, withdrawn if the actor ends before it.
    running: Option<AbortOnDropHandle<()>>,
}

impl RemoteWorker {
    /// Starts a remote worker under the pool.
    pub async fn spawn(
        args: RemoteWorkerArgs,
        supervisor: ActorCell,
    ) -> Result<Mailbox<WorkerMessage>, SpawnErr> {
        let status = args.status.clone();
        let (actor, _) = Actor::spawn_linked(None, Self, args, supervisor).await?;
        Ok(Mailbox::new(actor, status))
    }
}

impl Actor for RemoteWorker {
    type Msg = WorkerMessage;
    type State = State;
    type Arguments = RemoteWorkerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.status.started(&myself.get_id());
        let mailbox = Mailbox::new(myself, args.status.clone());
        let state = State {
            args,
            mailbox,
            running: None,
        };
        state.report(WorkerEvent::Ready)?;
        Ok(state)
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

impl State {
    fn handle(&mut self, message: WorkerMessage) -> Result<(), ActorProcessingErr> {
        self.args.status.message_taken();
        match message {
            WorkerMessage::Run(jobs) => {
                let (gateway, memory) = (self.args.gateway.clone(), self.args.memory.clone());
                let (node, blobs) = (self.args.node, self.args.blobs.clone());
                let work = async move {
                    let outcomes = carry_out::carry_out(&gateway, node, &jobs, memory).await;
                    Ok::<JobOutcomes, WorkFailed>(outcomes)
                };
                let finished = move |outcomes: Result<JobOutcomes, WorkFailed>| {
                    WorkerMessage::Thread(match outcomes {
                        Ok(outcomes) => ThreadEvent::Finished(Finished::new(outcomes, blobs)),
                        Err(error) => ThreadEvent::Panicked(error.to_string()),
                    })
                };
                self.running = Some(self.mailbox.work(work, finished));
                Ok(())
            }
            WorkerMessage::Thread(event) => {
                self.running = None;
                match event {
                    ThreadEvent::Finished(finished) => self.report(WorkerEvent::Finished(finished)),
                    ThreadEvent::Panicked(reason) => Err(reason.into()),
                    ThreadEvent::Loaded | ThreadEvent::LoadFailed(_) => Ok(()),
                }
            }
        }
    }

    fn report(&self, event: WorkerEvent) -> Result<(), ActorProcessingErr> {
        let report = WorkerReport {
            index: self.args.index,
            incarnation: self.args.incarnation,
            event,
        };
        Ok(self.args.pool.cast(PoolMessage::Worker(report))?)
    }
}
