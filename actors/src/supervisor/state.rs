//! The state of the supervisor.

mod adoption;
mod creation;
mod removal;
mod restoring;

use super::SupervisorArgs;
use super::leftovers::Leftovers;
use super::message::{DeleteReply, SessionMailbox, SupervisorMessage};
use crate::blobs::Blobs;
use crate::blocking::BlockingPool;
use crate::creator::Whose;
use crate::decode_memory::DecodeMemory;
use crate::error_kind::ErrorKind;
use crate::handle::SessionHandle;
use crate::ids::SessionId;
use crate::journal::Journals;
use crate::mailbox::{Mailbox, Reply, answer};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pool::PoolDispatcher;
use crate::report::ActorReport;
use crate::session::message::SessionMessage;
use crate::session_event::CloseReason;
use crate::settings::Settings;
use crate::sharing::SharedFiles;
use crate::upload_memory::UploadMemory;
use ractor::{ActorCell, ActorId, ActorRef, SpawnErr};
use removal::Removal;
use restoring::Restoring;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// The state of the supervisor.
pub(crate) struct State {
    settings: Arc<Settings>,
    blobs: Arc<dyn Blobs>,
    journals: Journals,
    metrics: Arc<Metrics>,
    myself: ActorCell,
    mailbox: Mailbox<SupervisorMessage>,
    dispatcher: Arc<PoolDispatcher>,
    outbox: Option<Outbox>,
    computing: BlockingPool,
    decoding: DecodeMemory,
    folders: BlockingPool,
    result_files: BlockingPool,
    uploads: UploadMemory,
    sessions: HashMap<SessionId, Entry>,
    by_actor: HashMap<ActorId, SessionId>,
    /// Sessions whose folders are being created, with the names of their creators.
    creating: HashMap<SessionId, Option<Arc<str>>>,
    /// Ended sessions whose folders are being removed.
    removing: HashMap<SessionId, Removal>,
    leftovers: Leftovers,
    next_place: u64,
    draining: bool,
    ending: Arc<AtomicBool>,
    /// Whether all sessions end because the system does. Those that are kept go on later.
    closes: bool,
    /// Callers that wait until there are no sessions.
    closing: Vec<Reply<()>>,
    /// Sessions that have failed and are being restored.
    restoring: HashMap<SessionId, Restoring>,
    shared: Option<Arc<SharedFiles>>,
}

/// A session.
struct Entry {
    mailbox: SessionMailbox,
    /// Its place in the order of creation.
    place: u64,
    created_at: SystemTime,
    /// The name of its creator.
    creator: Option<Arc<str>>,
    deletions: Vec<DeleteReply>,
    /// How often it has failed.
    failures: u32,
    /// Whether its files stay when it ends.
    stays: Arc<AtomicBool>,
    /// Why it has ended, if it did not fail.
    ends: Arc<OnceLock<CloseReason>>,
    /// Whether receivers of webhooks are told of it.
    tells: bool,
}

impl State {
    /// Starts the pool.
    pub async fn start(
        args: SupervisorArgs,
        myself: ActorRef<SupervisorMessage>,
    ) -> Result<Self, SpawnErr> {
        args.dispatcher.start(myself.get_cell()).await?;
        if let Some(outbox) = &args.outbox {
            outbox.start(myself.get_cell()).await?;
        }
        let memory = &args.metrics.memory;
        let uploads = UploadMemory::new(args.settings.upload_buffer_bytes, memory.uploads.clone());
        let decoding =
            DecodeMemory::new(args.settings.decode_memory_bytes, memory.decoding.clone());
        let mut state = Self {
            blobs: args.blobs,
            myself: myself.get_cell(),
            mailbox: Mailbox::new(myself, args.status),
            dispatcher: args.dispatcher,
            outbox: args.outbox,
            computing: BlockingPool::for_computing(),
            decoding,
            folders: BlockingPool::for_folders(),
            result_files: BlockingPool::for_result_files(),
            uploads,
            sessions: HashMap::new(),
            by_actor: HashMap::new(),
            creating: HashMap::new(),
            removing: HashMap::new(),
            leftovers: Leftovers::default(),
            next_place: 0,
            draining: false,
            ending: args.ending,
            closes: false,
            closing: Vec::new(),
            restoring: HashMap::new(),
            shared: args.shared,
            journals: args.journals,
            settings: args.settings,
            metrics: args.metrics,
        };
        for restored in args.restored {
            let next = restored.ledger.place().saturating_add(1);
            state.next_place = state.next_place.max(next);
            let id = restored.ledger.session();
            if let Err(error) = state.spawn_session(restored, 0).await {
                tracing::error!(session_id = %id, %error, "a session is not started; its files stay");
            }
        }
        Ok(state)
    }

    pub async fn handle(&mut self, message: SupervisorMessage) {
        self.mailbox.status().message_taken();
        match message {
            SupervisorMessage::Create {
                config,
                creator,
                webhook,
                reply,
            } => self.create(config, creator, webhook, reply),
            SupervisorMessage::FolderCreated { id, outcome, reply } => {
                self.folder_created(id, outcome, reply).await;
            }
            SupervisorMessage::Restored { id, outcome } => self.restored(id, outcome).await,
            SupervisorMessage::Find(id, whose, reply) => match self.restoring.get_mut(&id) {
                Some(restoring) => restoring.waiting.push((whose, reply)),
                None => answer(reply, self.find(id, &whose)),
            },
            SupervisorMessage::List(whose, reply) => answer(reply, self.list(&whose)),
            SupervisorMessage::Delete(id, whose, reply) => self.delete(id, &whose, reply),
            SupervisorMessage::Adopt { id, reply } => self.adopt(id, reply),
            SupervisorMessage::Adopted { id, outcome } => self.restored(id, outcome).await,
            SupervisorMessage::FolderRemoved(id, outcome) => self.folder_removed(id, outcome),
            SupervisorMessage::RemoveAgain(id) => {
                // A client's own attempt may be running; if it fails, the next delay begins.
                if let Some(ended) = self.leftovers.due(id)
                    && !self.removing.contains_key(&id)
                {
                    self.remove_folder(id, ended, Vec::new());
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
                answer(reply, self.list(&Whose::Anyones));
            }
            SupervisorMessage::CloseAll(reply) => {
                self.closes = true;
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
        } else if let Some(outbox) = self.outbox.clone().filter(|outbox| outbox.is_outbox(actor)) {
            let reason = failure.unwrap_or("it was stopped");
            self.restart_outbox(&outbox, reason).await;
        } else {
            self.session_ended(actor, failure);
        }
        self.answer_closing();
    }

    fn find(&self, id: SessionId, whose: &Whose) -> Option<SessionHandle> {
        let entry = self.sessions.get(&id);
        let entry = entry.filter(|entry| whose.includes(id, entry.creator.as_ref()))?;
        Some(self.session_handle(id, &entry.mailbox))
    }

    fn list(&self, whose: &Whose) -> Vec<SessionMailbox> {
        let entries = self.sessions.iter();
        let mut entries: Vec<_> = entries
            .filter(|(id, entry)| whose.includes(**id, entry.creator.as_ref()))
            .collect();
        // Those of earlier versions have no place, and others may have come from other data directories.
        entries.sort_by_key(|(id, entry)| (entry.place, entry.created_at, **id));
        entries
            .into_iter()
            .map(|(_, entry)| entry.mailbox.clone())
            .collect()
    }

    fn session_handle(&self, id: SessionId, mailbox: &SessionMailbox) -> SessionHandle {
        SessionHandle::new(
            id,
            mailbox.clone(),
            self.ending.clone(),
            self.settings.pool.job_timeout,
        )
    }

    fn answer_closing(&mut self) {
        let all_ended = self.sessions.is_empty()
            && self.removing.is_empty()
            && self.creating.is_empty()
            && self.restoring.is_empty();
        if all_ended {
            for reply in self.closing.drain(..) {
                answer(reply, ());
            }
        }
    }

    /// Reports the published figures without a message to the sessions, which may be stuck.
    fn report(&self, reply: Reply<ActorReport>) {
        let mut root = self.mailbox.status().report();
        let sessions: Vec<_> = self
            .list(&Whose::Anyones)
            .iter()
            .map(|session| session.status().report())
            .collect();
        let (pool_reply, pool_report) = oneshot::channel();
        self.dispatcher.report(pool_reply);
        let outbox = self.outbox.as_ref().map(Outbox::report);
        tokio::spawn(async move {
            root.children.extend(pool_report.await);
            root.children.extend(outbox);
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

    /// The outbox has failed. What waits in its file is delivered by the next one.
    async fn restart_outbox(&mut self, outbox: &Outbox, reason: &str) {
        tracing::error!(%reason, "the outbox of webhooks failed; it is restarted");
        outbox.failed(reason);
        self.metrics.error(ErrorKind::Internal, None, reason);
        if let Err(error) = outbox.start(self.myself.clone()).await {
            tracing::error!(%error, "the outbox of webhooks cannot be restarted; restart the server");
        }
    }
}
