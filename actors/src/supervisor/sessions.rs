//! The sessions of the system: made, found, ended, and cleaned up after.

use ractor::ActorCell;
use thiserror::Error;
use uuid::Uuid;

use super::{SessionMailbox, State, SupervisorMessage};
use crate::config::{OutOfRange, SessionConfig};
use crate::event::{CloseReason, SessionId};
use crate::gauge::Gauge;
use crate::handle::{OwnedSession, SessionHandle, Unanswered};
use crate::mailbox::{Reply, answer};
use crate::metrics::ErrorKind;
use crate::session::{Session, SessionArgs, SessionMessage};

/// Why there is no new session.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CreateSessionError {
    /// A parameter does not fit.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// There are enough sessions.
    #[error("maximum number of sessions reached ({limit}); delete one or try again later")]
    AtCapacity {
        /// How many there may be.
        limit: usize,
    },
    /// The system ends.
    #[error("server is shutting down")]
    ShuttingDown,
    /// It takes too long.
    #[error("server is busy; try again later")]
    Busy,
    /// The disk refuses.
    #[error("the session's folder could not be made: {0}")]
    Storage(String),
    /// The actor could not be started.
    #[error("the session could not be started: {0}")]
    Internal(String),
}

/// Why a session is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeleteSessionError {
    /// There is no such session, or nobody says that it is gone.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// It has ended, but its files are still there. It is tried again for a while, and at once if
    /// the session is deleted once more.
    #[error("the session has ended, but its files could not be removed yet: {0}")]
    Files(String),
}

/// Who waits until a session's files are gone.
pub(super) type DeleteReply = Reply<Result<(), DeleteSessionError>>;

/// A session and its place in the order of creation.
pub(super) struct Entry {
    pub mailbox: SessionMailbox,
    pub place: u64,
    pub deletions: Vec<DeleteReply>,
}

impl State {
    pub(super) fn list(&self) -> Vec<SessionMailbox> {
        let mut entries: Vec<_> = self.sessions.values().collect();
        entries.sort_by_key(|entry| entry.place);
        entries
            .into_iter()
            .map(|entry| entry.mailbox.clone())
            .collect()
    }

    pub(super) fn create(
        &mut self,
        config: SessionConfig,
        reply: Reply<Result<OwnedSession, CreateSessionError>>,
    ) {
        let limit = self.settings.max_sessions;
        if self.draining {
            return answer(reply, Err(CreateSessionError::ShuttingDown));
        }
        if self.sessions.len() + self.coming >= limit {
            return answer(reply, Err(CreateSessionError::AtCapacity { limit }));
        }
        self.coming += 1;
        let id = Uuid::new_v4();
        let spool = self.data_dir.spool(id);
        let (folders, mailbox) = (self.folders.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            let made = match folders.run(move || spool.create()).await {
                Ok(made) => made.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            // Gone: nobody waits for the session any more.
            let _ = mailbox.cast(SupervisorMessage::FolderMade {
                id,
                config,
                made,
                reply,
            });
        });
    }

    pub(super) async fn spawn(
        &mut self,
        myself: ActorCell,
        id: SessionId,
        config: SessionConfig,
    ) -> Result<OwnedSession, CreateSessionError> {
        let args = SessionArgs {
            id,
            config,
            settings: self.settings.clone(),
            spool: self.data_dir.spool(id),
            pool: self.pool.subscribe(),
            workshop: self.workshop.clone(),
            exports: self.exports.clone(),
            features: self.features.clone(),
            uploads: self.uploads.clone(),
            gauge: Gauge::new("session", id.to_string()),
            metrics: self.metrics.clone(),
        };
        let mailbox = match Session::spawn(args, myself).await {
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
        Ok(OwnedSession::new(self.handle_of(id, &mailbox)))
    }

    /// What those outside know a session by.
    pub(super) fn handle_of(&self, id: SessionId, mailbox: &SessionMailbox) -> SessionHandle {
        SessionHandle {
            id,
            mailbox: mailbox.clone(),
            ending: self.ending.clone(),
            export_timeout: self.settings.job_timeout,
        }
    }

    pub(super) fn delete(&mut self, id: SessionId, reply: DeleteReply) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.deletions.push(reply);
            // Gone: its end is on its way to us.
            let _ = entry
                .mailbox
                .cast(SessionMessage::Close(CloseReason::Deleted));
        } else if let Some(waiting) = self.leaving.get_mut(&id) {
            waiting.push(reply);
        } else if self.leftovers.contains_key(&id) {
            self.remove_folder(id, vec![reply]);
        } else {
            answer(reply, Err(Unanswered::NotFound.into()));
        }
    }

    /// A session's actor ended, for whatever reason: its files go.
    pub(super) fn on_session_end(&mut self, actor: &ActorCell, failure: Option<&str>) {
        let id = self.by_actor.remove(&actor.get_id());
        if let Some(error) = failure {
            tracing::error!(session_id = id.map(tracing::field::display), %error, "a session failed");
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

    pub(super) fn remove_folder(&mut self, id: SessionId, waiting: Vec<DeleteReply>) {
        self.leaving.insert(id, waiting);
        let spool = self.data_dir.spool(id);
        let (folders, mailbox) = (self.folders.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            let removed = match folders.run(move || spool.remove()).await {
                Ok(removed) => removed.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &removed {
                tracing::error!(session_id = %id, %error, "a session's files could not be removed");
            }
            // Gone: nobody waits any more.
            let _ = mailbox.cast(SupervisorMessage::FolderRemoved(id, removed));
        });
    }

    pub(super) fn on_folder_removed(&mut self, id: SessionId, removed: Result<(), String>) {
        match &removed {
            Ok(()) => self.forget_leftover(id),
            Err(error) => {
                self.metrics.error(ErrorKind::Storage, Some(id), error);
                self.keep_leftover(id);
            }
        }
        for reply in self.leaving.remove(&id).into_iter().flatten() {
            answer(reply, removed.clone().map_err(DeleteSessionError::Files));
        }
        self.answer_if_empty();
    }

    pub(super) fn answer_if_empty(&mut self) {
        if self.sessions.is_empty() && self.leaving.is_empty() && self.coming == 0 {
            for reply in self.closing.drain(..) {
                answer(reply, ());
            }
        }
    }
}
