//! The supervisor: spawns the pool and the sessions, and cleans up after a session however it
//! ended.

mod leftovers;
mod sessions;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::sync::watch;

use crate::config::SessionConfig;
use crate::event::{CloseReason, SessionId};
use crate::features::FeatureBudget;
use crate::gauge::Gauge;
use crate::handle::{OwnedSession, SessionHandle};
use crate::mailbox::{Mailbox, Reply, answer};
use crate::memory::MemoryBudget;
use crate::metrics::{ErrorKind, Metrics};
use crate::pool::{Pool, PoolArgs, PoolMessage, PoolStatus};
use crate::session::SessionMessage;
use crate::settings::Settings;
use crate::spool::DataDir;
use crate::summary::ActorReport;
use crate::workshop::Workshop;
use leftovers::Leftover;
pub use sessions::{CreateSessionError, DeleteSessionError};
use sessions::{DeleteReply, Entry};

/// What the supervisor is told.
pub(crate) enum SupervisorMessage {
    /// Make a session.
    Create(
        SessionConfig,
        Reply<Result<OwnedSession, CreateSessionError>>,
    ),
    /// The folder of a session is there, or not.
    FolderMade {
        /// The session to come.
        id: SessionId,
        /// Its parameters.
        config: SessionConfig,
        /// What the file system said.
        made: Result<(), String>,
        /// Who waits for the session.
        reply: Reply<Result<OwnedSession, CreateSessionError>>,
    },
    /// Find a session.
    Find(SessionId, Reply<Option<SessionHandle>>),
    /// Give all sessions, the oldest first.
    List(Reply<Vec<SessionMailbox>>),
    /// End a session; answers when its files are gone.
    Delete(SessionId, DeleteReply),
    /// The folder of a session that ended is gone, or not.
    FolderRemoved(SessionId, Result<(), String>),
    /// Try once more to remove a folder that could not be removed.
    RemoveAgain(SessionId),
    /// Kill a worker and start it again; answers whether there is such a worker.
    RestartWorker(usize, Reply<bool>),
    /// Show the actors.
    Report(Reply<ActorReport>),
    /// Make no more sessions; answers with those that there are.
    Drain(Reply<Vec<SessionMailbox>>),
    /// End all sessions; answers when their files are gone.
    CloseAll(Reply<()>),
}

/// The address of a session.
pub(crate) type SessionMailbox = Mailbox<SessionMessage>;

/// The actor.
pub(crate) struct Supervisor;

/// What it needs.
pub(crate) struct SupervisorArgs {
    /// The operator's settings.
    pub settings: Arc<Settings>,
    /// The folder for the sessions' files.
    pub data_dir: DataDir,
    /// Where the pool shows how many workers are ready.
    pub pool_status: Arc<PoolStatus>,
    /// Its gauge.
    pub gauge: Arc<Gauge>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the system ends.
    pub ending: Arc<AtomicBool>,
}

/// Its state.
pub(crate) struct State {
    settings: Arc<Settings>,
    data_dir: DataDir,
    mailbox: Mailbox<SupervisorMessage>,
    pool_status: Arc<PoolStatus>,
    pool: watch::Sender<Mailbox<PoolMessage>>,
    workshop: Workshop,
    /// Where sessions' folders are made and removed: neither waits for images.
    folders: Workshop,
    /// Where results are written in other formats.
    exports: Workshop,
    features: Arc<FeatureBudget>,
    uploads: MemoryBudget,
    metrics: Arc<Metrics>,
    sessions: HashMap<SessionId, Entry>,
    by_actor: HashMap<ActorId, SessionId>,
    /// Sessions that have ended but whose files are not gone yet, with those who wait for it.
    leaving: HashMap<SessionId, Vec<DeleteReply>>,
    /// Those whose files could not be removed, as long as it is tried again.
    leftovers: HashMap<SessionId, Leftover>,
    /// Sessions whose folder is being made.
    coming: usize,
    next_place: u64,
    draining: bool,
    /// The same for those outside.
    ending: Arc<AtomicBool>,
    /// Who waits until there is no session any more.
    closing: Vec<Reply<()>>,
}

impl Supervisor {
    /// Starts the supervisor and the pool below it.
    pub async fn spawn(args: SupervisorArgs) -> Result<Mailbox<SupervisorMessage>, SpawnErr> {
        let gauge = args.gauge.clone();
        let (actor, _) = Actor::spawn(None, Self, args).await?;
        Ok(Mailbox::new(actor, gauge))
    }
}

impl State {
    async fn handle(&mut self, myself: ActorCell, message: SupervisorMessage) {
        match message {
            SupervisorMessage::Create(config, reply) => self.create(config, reply),
            SupervisorMessage::FolderMade {
                id,
                config,
                made,
                reply,
            } => {
                self.coming -= 1;
                let session = match made {
                    Ok(()) if self.draining || reply.is_closed() => {
                        self.remove_folder(id, Vec::new());
                        Err(CreateSessionError::ShuttingDown)
                    }
                    Ok(()) => self.spawn(myself, id, config).await,
                    Err(error) => Err(CreateSessionError::Storage(error)),
                };
                // One who has left meanwhile does not own it: then it ends at once.
                answer(reply, session);
                self.answer_if_empty();
            }
            SupervisorMessage::Find(id, reply) => {
                let entry = self.sessions.get(&id);
                answer(reply, entry.map(|entry| self.handle_of(id, &entry.mailbox)));
            }
            SupervisorMessage::List(reply) => answer(reply, self.list()),
            SupervisorMessage::Delete(id, reply) => self.delete(id, reply),
            SupervisorMessage::FolderRemoved(id, removed) => self.on_folder_removed(id, removed),
            SupervisorMessage::RemoveAgain(id) => self.remove_again(id),
            SupervisorMessage::RestartWorker(index, reply) => {
                // Gone: its workers start again with it.
                let _ = self.pool().cast(PoolMessage::Restart(index, reply));
            }
            SupervisorMessage::Report(reply) => self.report(reply),
            SupervisorMessage::Drain(reply) => {
                self.draining = true;
                self.mailbox.gauge().state("draining");
                // Gone: then it has drained itself.
                let _ = self.pool().cast(PoolMessage::Drain);
                answer(reply, self.list());
            }
            SupervisorMessage::CloseAll(reply) => {
                for entry in self.sessions.values() {
                    // Gone: its end is on its way to us.
                    let _ = entry
                        .mailbox
                        .cast(SessionMessage::Close(CloseReason::ShuttingDown));
                }
                self.closing.push(reply);
                self.answer_if_empty();
            }
        }
    }

    /// The pool's address now.
    fn pool(&self) -> Mailbox<PoolMessage> {
        self.pool.borrow().clone()
    }

    /// Reports without asking the sessions, so that a stuck one can be seen.
    fn report(&self, reply: Reply<ActorReport>) {
        let mut root = self.mailbox.gauge().report();
        let sessions: Vec<_> = self
            .list()
            .iter()
            .map(|session| session.gauge().report())
            .collect();
        let pool = self.pool();
        tokio::spawn(async move {
            let pool_report = match pool.ask(PoolMessage::Report).await {
                Ok(report) => report,
                Err(_) => pool.gauge().report(),
            };
            root.children.push(pool_report);
            root.children.extend(sessions);
            answer(reply, root);
        });
    }

    /// The pool is gone. Its jobs lost their reply ports, so they are answered; a new one starts.
    async fn restart_pool(&mut self, myself: ActorCell, reason: &str) {
        tracing::error!(%reason, "the pool of workers failed and is started again");
        let gauge = self.pool().gauge().clone();
        gauge.restarted(Some(reason.to_owned()));
        self.metrics.pool.restarted();
        self.metrics.error(ErrorKind::Internal, None, reason);
        let args = PoolArgs {
            settings: self.settings.clone(),
            status: self.pool_status.clone(),
            gauge,
            metrics: self.metrics.clone(),
        };
        match Pool::spawn(args, myself).await {
            Ok(pool) => {
                self.pool.send_replace(pool);
            }
            Err(error) => {
                tracing::error!(%error, "the pool of workers cannot be started again");
            }
        }
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
        args.gauge.started(&myself.get_id());
        args.gauge.state("running");
        let pool_args = PoolArgs {
            settings: args.settings.clone(),
            status: args.pool_status.clone(),
            gauge: Gauge::with_queue("pool", "workers".to_owned()),
            metrics: args.metrics.clone(),
        };
        let pool = Pool::spawn(pool_args, myself.get_cell()).await?;
        Ok(State {
            features: FeatureBudget::new(
                args.settings.feature_cache_bytes,
                args.metrics.memory.features.clone(),
            ),
            uploads: MemoryBudget::new(
                args.settings.upload_buffer_bytes,
                args.metrics.memory.uploads.clone(),
            ),
            metrics: args.metrics,
            settings: args.settings,
            data_dir: args.data_dir,
            mailbox: Mailbox::new(myself, args.gauge),
            pool_status: args.pool_status,
            pool: watch::Sender::new(pool),
            workshop: Workshop::new(),
            folders: Workshop::for_folders(),
            exports: Workshop::for_long_work(),
            sessions: HashMap::new(),
            by_actor: HashMap::new(),
            leaving: HashMap::new(),
            leftovers: HashMap::new(),
            coming: 0,
            next_place: 0,
            draining: false,
            ending: args.ending,
            closing: Vec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.mailbox.gauge().message_taken();
        state.handle(myself.get_cell(), message).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, failure) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor, Some(error.to_string())),
            SupervisionEvent::ActorTerminated(actor, _, _) => (actor, None),
            _ => return Ok(()),
        };
        if actor.get_id() == state.pool().actor().get_id() {
            let reason = failure.as_deref().unwrap_or("it was stopped");
            state.restart_pool(myself.get_cell(), reason).await;
            return Ok(());
        }
        state.on_session_end(&actor, failure.as_deref());
        Ok(())
    }
}
