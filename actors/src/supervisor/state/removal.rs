//! The end of sessions, and the removal of their files.

use super::restoring::MOST_FAILURES;
use super::{Entry, State};
use crate::creator::Whose;
use crate::error_kind::ErrorKind;
use crate::errors::{DeleteSessionError, StorageFailed, Unanswered};
use crate::ids::SessionId;
use crate::mailbox::answer;
use crate::outbox::{Event, EventContent, WebhookError};
use crate::session::message::SessionMessage;
use crate::session::restore;
use crate::session_event::CloseReason;
use crate::supervisor::leftovers::{Ended, Next};
use crate::supervisor::message::{DeleteReply, SupervisorMessage};
use ractor::ActorCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// An ended session whose folder is being removed.
pub(super) struct Removal {
    pub(super) ended: Ended,
    /// Callers that wait until the folder is removed.
    pub(super) waiting: Vec<DeleteReply>,
}

impl State {
    pub(super) fn delete(&mut self, id: SessionId, whose: &Whose, reply: DeleteReply) {
        let is_theirs = |creator: &Option<Arc<str>>| whose.includes(id, creator.as_ref());
        if let Some(entry) = self.sessions.get_mut(&id)
            && is_theirs(&entry.creator)
        {
            entry.deletions.push(reply);
            let close = SessionMessage::Close(CloseReason::Deleted);
            entry.mailbox.notify(close);
        } else if let Some(restoring) = self.restoring.get_mut(&id)
            && is_theirs(&restoring.creator)
        {
            restoring.deletions.push(reply);
        } else if let Some(removal) = self.removing.get_mut(&id)
            && is_theirs(&removal.ended.creator)
        {
            removal.waiting.push(reply);
        } else if let Some(ended) = self.leftovers.get(id).cloned()
            && is_theirs(&ended.creator)
            && !self.removing.contains_key(&id)
        {
            self.remove_folder(id, ended, vec![reply]);
        } else {
            answer(reply, Err(Unanswered::NotFound.into()));
        }
    }

    pub(super) fn session_ended(&mut self, actor: &ActorCell, failure: Option<&str>) {
        let id = self.by_actor.remove(&actor.get_id());
        if let Some(error) = failure {
            tracing::error!(
                session_id = id.map(tracing::field::display),
                %error,
                "a session failed; its clients are disconnected"
            );
            self.metrics.error(ErrorKind::Session, id, error);
            self.metrics.sessions.ended(CloseReason::Failed);
        }
        let Some(id) = id else {
            return;
        };
        let Some(entry) = self.sessions.remove(&id) else {
            return;
        };
        if entry.ends.get() == Some(&CloseReason::Moved) {
            return self.let_go(id, entry.deletions);
        }
        let goes_on = match failure {
            Some(_) if self.closes => true,
            Some(_) if entry.deletions.is_empty() && entry.failures < MOST_FAILURES => {
                return self.restore(id, entry);
            }
            Some(_) if entry.deletions.is_empty() => return self.set_aside(id, entry.tells),
            _ => entry.stays.load(Ordering::Relaxed),
        };
        if !goes_on || !entry.deletions.is_empty() {
            let told = told_of(&entry, failure.is_some());
            let ended = Ended {
                creator: entry.creator,
                tells: entry.tells.then_some(told),
                had: None,
            };
            self.remove_folder(id, ended, entry.deletions);
        }
    }

    /// Removes a session's files, once it is certain that its end is told.
    pub(super) fn remove_folder(&mut self, id: SessionId, ended: Ended, waiting: Vec<DeleteReply>) {
        let told = ended.tells.clone().map(|content| Event {
            session: id,
            at: SystemTime::now(),
            content,
        });
        let told = told.zip(self.outbox.clone());
        let had = ended.had.clone();
        self.removing.insert(id, Removal { ended, waiting });
        let (blobs, folders) = (self.blobs.clone(), self.folders.clone());
        let journals = self.journals.clone();
        let work = async move {
            if let Some((end, outbox)) = told {
                let mut told = outbox.tell_end(had.clone(), end.clone()).await;
                if let Err(WebhookError::Behind) = told {
                    let read = move || restore::events(&journals, id);
                    let had = match folders.run(id, read).await? {
                        // What cannot be read cannot be told.
                        Err(error) if error.is_damage() => Vec::new(),
                        had => had?,
                    };
                    told = outbox.tell_end(Some(had), end).await;
                } else if let Err(WebhookError::Storage { .. }) = told {
                    // The outbox may need the space of these files.
                    let blobs = blobs.clone();
                    let clear = move || blobs.restore_session(id, &BTreeMap::new());
                    folders.run(id, clear).await??;
                    told = outbox.tell_end(had, end).await;
                }
                told?;
            }
            let removed = folders.run(id, move || blobs.remove_session(id)).await?;
            Ok(removed?)
        };
        self.mailbox.detached_work(work, move |outcome| {
            SupervisorMessage::FolderRemoved(id, outcome)
        });
    }

    pub(super) fn folder_removed(&mut self, id: SessionId, outcome: Result<(), StorageFailed>) {
        let Some(Removal { ended, waiting }) = self.removing.remove(&id) else {
            return;
        };
        match &outcome {
            Ok(()) => {
                if self.leftovers.removed(id) {
                    tracing::info!(
                        session_id = %id,
                        "removed the files of an ended session after a retry"
                    );
                }
            }
            Err(error) => self.folder_not_removed(id, ended, error),
        }
        for reply in waiting {
            let outcome = outcome.clone();
            answer(
                reply,
                outcome.map_err(|error| DeleteSessionError::Files(error.to_string())),
            );
        }
    }

    fn folder_not_removed(&mut self, id: SessionId, ended: Ended, error: &StorageFailed) {
        self.metrics
            .error(ErrorKind::Storage, Some(id), &error.to_string());
        match self.leftovers.failed(id, ended) {
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
}

/// What receivers of webhooks are told of a session that has ended.
fn told_of(entry: &Entry, failed: bool) -> EventContent {
    match entry.ends.get() {
        Some(reason) if !failed => EventContent::SessionEnded { reason: *reason },
        _ if !entry.deletions.is_empty() => EventContent::SessionEnded {
            reason: CloseReason::Deleted,
        },
        _ => EventContent::lost(),
    }
}
