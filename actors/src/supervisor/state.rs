//! The state of the supervisor.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ractor::{ActorCell, ActorId, ActorRef, SpawnErr};
use tokio::sync::oneshot;

use super::SupervisorArgs;
use super::leftovers::{Leftovers, Next};
use super::message::{CreateReply, DeleteReply, FolderError, SessionMailbox, SupervisorMessage};
use crate::actor_status::ActorStatus;
use crate::blobs::Blobs;
use crate::blocking::BlockingPool;
use crate::error_kind::ErrorKind;
use crate::errors::{CreateSessionError, DeleteSessionError, Unanswered};
use crate::handle::{OwnedSession, SessionHandle};
use crate::ids::SessionId;
use crate::mailbox::{Mailbox, Reply, answer};
use crate::memory::MemoryBudget;
use crate::metrics::Metrics;
use crate::pool::LocalDispatcher;
use crate::report::ActorReport;
use crate::session::message::SessionMessage;
use crate::session::{Session, SessionArgs};
use crate::session_config::SessionConfig;
use crate::session_event::CloseReason;
use crate::settings::Settings;

/// The state of the supervisor.
pub(crate) struct State {
    settings: Arc<Settings>,
    blobs: Arc<dyn Blobs>,
    metrics: Arc<Metrics>,
    myself: ActorCell,
    mailbox: Mailbox<SupervisorMessage>,
    dispatcher: Arc<LocalDispatcher>,
    computing: BlockingPool,
    folders: BlockingPool,
    result_files: BlockingPool,
    uploads: MemoryBudget,
    sessions: HashMap<SessionId, Entry>,
    by_actor: HashMap<ActorId, SessionId>,
    /// Sessions whose folders are being created.
    creating: usize,
    /// Ended sessions whose folders are being removed, with the waiting callers.
    removing: HashMap<SessionId, Vec<DeleteReply>>,
    leftovers: Leftovers,
    next_place: u64,
    draining: bool,
    ending: Arc<AtomicBool>,
    /// Callers that wait until there are no sessions.
    closing: Vec<Reply<()>>,
}

/// A session.
struct Entry {
    mailbox: SessionMailbox,
    /// Its place in the order of creation.
    place: u64,
    deletions: Vec<DeleteReply>,
}

impl State {
    /// Starts the pool.
    pub async fn start(
        args: SupervisorArgs,
        myself: ActorRef<SupervisorMessage>,
    ) -> Result<Self, SpawnErr> {
        args.dispatcher.start(myself.get_cell()).await?;
        let memory = args.metrics.memory.uploads.clone();
        let uploads = MemoryBudget::new(args.settings.upload_buffer_bytes.max(1024), memory);
        Ok(Self {
            blobs: args.blobs,
            myself: myself.get_cell(),
            mailbox: Mailbox::new(myself, args.status),
            dispatcher: args.dispatcher,
            computing: BlockingPool::for_computing(),
            folders: BlockingPool::for_folders(),
            result_files: BlockingPool::for_result_files(),
            uploads,
            sessions: HashMap::new(),
            by_actor: HashMap::new(),
            creating: 0,
            removing: HashMap::new(),
            leftovers: Leftovers::default(),
            next_place: 0,
            draining: false,
            ending: args.ending,
            closing: Vec::new(),
            settings: args.settings,
            metrics: args.metrics,
        })
    }

    pub async fn handle(&mut self, message: SupervisorMessage) {
        self.mailbox.status().message_taken();
        match message {
            SupervisorMessage::Create(config, reply) => self.create(config, reply),
            SupervisorMessage::FolderCreated {
                id,
                config,
                outcome,
                reply,
            } => self.folder_created(id, config, outcome, reply).await,
            SupervisorMessage::Find(id, reply) => {
                let entry = self.sessions.get(&id);
                let found = entry.map(|entry| self.session_handle(id, &entry.mailbox));
                answer(reply, found);
            }
            SupervisorMessage::List(reply) => answer(reply, self.list()),
            SupervisorMessage::Delete(id, reply) => self.delete(id, reply),
            SupervisorMessage::FolderRemoved(id, outcome) => self.folder_removed(id, outcome),
            SupervisorMessage::RemoveAgain(id) => {
                // A client's own attempt may be running; if it fails, the next delay begins.
                if self.leftovers.due(id) && !self.removing.contains_key(&id) {
                    self.remove_folder(id, Vec::new());
                }
            }
            SupervisorMessage::RestartWorker(index, reply) => {
                self.dispatcher.restart_worker(index, reply);
            }
            SupervisorMessage::Report(reply) => self.report(reply),
            SupervisorMessage::Drain(reply) => {
                self.draining = true;
                self.mailbox.status().state("draining");
                self.dispatcher.drain();
                answer(reply, self.list());
            }
            SupervisorMessage::CloseAll(reply) => {
                for entry in self.sessions.values() {
                    let close = SessionMessage::Close(CloseReason::ShuttingDown);
                    entry.mailbox.notify(close);
                }
                self.closing.push(reply);
            }
        }
        self.answer_closing();
    }

    /// A pool or session has ended, for whatever reason.
    pub async fn child_ended(&mut self, actor: &ActorCell, failure: Option<&str>) {
        if self.dispatcher.is_pool(actor) {
            self.restart_pool(failure.unwrap_or("it was stopped")).await;
        } else {
            self.session_ended(actor, failure);
        }
        self.answer_closing();
    }

    fn list(&self) -> Vec<SessionMailbox> {
        let mut entries: Vec<_> = self.sessions.values().collect();
        entries.sort_by_key(|entry| entry.place);
        entries
            .into_iter()
            .map(|entry| entry.mailbox.clone())
            .collect()
    }

    fn session_handle(&self, id: SessionId, mailbox: &SessionMailbox) -> SessionHandle {
        SessionHandle::new(
            id,
            mailbox.clone(),
            self.ending.clone(),
            self.settings.job_timeout,
        )
    }

    fn create(&mut self, config: SessionConfig, reply: CreateReply) {
        let limit = self.settings.max_sessions;
        if self.draining {
            return answer(reply, Err(CreateSessionError::ShuttingDown));
        }
        if self.sessions.len() + self.creating >= limit {
            return answer(reply, Err(CreateSessionError::AtCapacity { limit }));
        }
        self.creating += 1;
        let id = SessionId::new_v4();
        let (blobs, folders) = (self.blobs.clone(), self.folders.clone());
        let work = async move {
            let created = folders.run(move || blobs.create_session(id)).await?;
            Ok(created?)
        };
        self.mailbox
            .detached_work(work, move |outcome| SupervisorMessage::FolderCreated {
                id,
                config,
                outcome,
                reply,
            });
    }

    async fn folder_created(
        &mut self,
        id: SessionId,
        config: SessionConfig,
        outcome: Result<(), FolderError>,
        reply: CreateReply,
    ) {
        self.creating -= 1;
        let session = match outcome {
            Ok(()) if self.draining || reply.is_closed() => {
                self.remove_folder(id, Vec::new());
                Err(CreateSessionError::ShuttingDown)
            }
            Ok(()) => self.spawn_session(id, config).await,
            Err(error) => Err(CreateSessionError::Storage(error.to_string())),
        };
        // If the creator has stopped waiting, the owned session is dropped and ends.
        answer(reply, session);
    }

    async fn spawn_session(
        &mut self,
        id: SessionId,
        config: SessionConfig,
    ) -> Result<OwnedSession, CreateSessionError> {
        let args = SessionArgs {
            id,
            config,
            settings: self.settings.clone(),
            blobs: self.blobs.clone(),
            dispatcher: self.dispatcher.clone(),
            computing: self.computing.clone(),
            result_files: self.result_files.clone(),
            uploads: self.uploads.clone(),
            status: ActorStatus::new("session", id.to_string()),
            metrics: self.metrics.clone(),
        };
        let mailbox = match Session::spawn(args, self.myself.clone()).await {
            Ok(mailbox) => mailbox,
            Err(error) => {
                self.remove_folder(id, Vec::new());
                return Err(CreateSessionError::Internal(error.to_string()));
            }
        };
        tracing::info!(session_id = %id, "session created");
        self.by_actor.insert(mailbox.actor().get_id(), id);
        let place = self.next_place;
        self.next_place += 1;
        self.sessions.insert(
            id,
            Entry {
                mailbox: mailbox.clone(),
                place,
                deletions: Vec::new(),
            },
        );
        Ok(OwnedSession::new(self.session_handle(id, &mailbox)))
    }

    fn delete(&mut self, id: SessionId, reply: DeleteReply) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.deletions.push(reply);
            let close = SessionMessage::Close(CloseReason::Deleted);
            entry.mailbox.notify(close);
        } else if let Some(waiting) = self.removing.get_mut(&id) {
            waiting.push(reply);
        } else if self.leftovers.contains(id) {
            self.remove_folder(id, vec![reply]);
        } else {
            answer(reply, Err(Unanswered::NotFound.into()));
        }
    }

    fn session_ended(&mut self, actor: &ActorCell, failure: Option<&str>) {
        let id = self.by_actor.remove(&actor.get_id());
        if let Some(error) = failure {
            tracing::error!(
                session_id = id.map(tracing::field::display),
                %error,
                "a session failed; its clients are disconnected and its files removed"
            );
            self.metrics.error(ErrorKind::Session, id, error);
            self.metrics.sessions.ended(CloseReason::Failed);
        }
        let Some(id) = id else {
            return;
        };
        if let Some(entry) = self.sessions.remove(&id) {
            self.remove_folder(id, entry.deletions);
        }
    }

    fn remove_folder(&mut self, id: SessionId, waiting: Vec<DeleteReply>) {
        self.removing.insert(id, waiting);
        let (blobs, folders) = (self.blobs.clone(), self.folders.clone());
        let work = async move {
            let removed = folders.run(move || blobs.remove_session(id)).await?;
            Ok(removed?)
        };
        self.mailbox.detached_work(work, move |outcome| {
            SupervisorMessage::FolderRemoved(id, outcome)
        });
    }

    fn folder_removed(&mut self, id: SessionId, outcome: Result<(), FolderError>) {
        match &outcome {
            Ok(()) => {
                if self.leftovers.removed(id) {
                    tracing::info!(
                        session_id = %id,
                        "removed the files of an ended session after a retry"
                    );
                }
            }
            Err(error) => self.folder_not_removed(id, error),
        }
        for reply in self.removing.remove(&id).into_iter().flatten() {
            let outcome = outcome.clone();
            answer(
                reply,
                outcome.map_err(|error| DeleteSessionError::Files(error.to_string())),
            );
        }
    }

    fn folder_not_removed(&mut self, id: SessionId, error: &FolderError) {
        self.metrics
            .error(ErrorKind::Storage, Some(id), &error.to_string());
        match self.leftovers.failed(id) {
            Next::Retry(delay) => {
                tracing::error!(
                    session_id = %id,
                    %error,
                    retry_in = ?delay,
                    "cannot remove the files of an ended session; check the data directory"
                );
                let again = SupervisorMessage::RemoveAgain(id);
                self.mailbox.notify_after(delay, again);
            }
            Next::Scheduled => {
                tracing::error!(
                    session_id = %id,
                    %error,
                    "cannot remove the files of an ended session; a retry is scheduled"
                );
            }
            Next::GiveUp => tracing::error!(
                session_id = %id,
                %error,
                "cannot remove the files of an ended session; they stay until the server restarts"
            ),
        }
    }

    fn answer_closing(&mut self) {
        if self.sessions.is_empty() && self.removing.is_empty() && self.creating == 0 {
            for reply in self.closing.drain(..) {
                answer(reply, ());
            }
        }
    }

    /// Reports the published figures without a message to the sessions, which may be stuck.
    fn report(&self, reply: Reply<ActorReport>) {
        let mut root = self.mailbox.status().report();
        let sessions: Vec<_> = self
            .list()
            .iter()
            .map(|session| session.status().report())
            .collect();
        let (pool_reply, pool_report) = oneshot::channel();
        self.dispatcher.report(pool_reply);
        tokio::spawn(async move {
            root.children.extend(pool_report.await);
            root.children.extend(sessions);
            answer(reply, root);
        });
    }

    /// The pool has failed. Its jobs have ended with it, so their sessions are answered.
    async fn restart_pool(&mut self, reason: &str) {
        tracing::error!(%reason, "the pool of workers failed; it is restarted");
        self.dispatcher.failed(reason);
        self.metrics.error(ErrorKind::Internal, None, reason);
        if let Err(error) = self.dispatcher.start(self.myself.clone()).await {
            tracing::error!(%error, "the pool of workers cannot be restarted; restart the server");
        }
    }
}
