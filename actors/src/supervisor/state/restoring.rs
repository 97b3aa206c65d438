//! Going on with sessions that have failed.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Entry, State};
use crate::creator::Whose;
use crate::handle::SessionHandle;
use crate::ids::SessionId;
use crate::journal::JournalError;
use crate::mailbox::{Reply, answer};
use crate::outbox::{Event, EventContent, Outbox};
use crate::session::restore::{Found, RestoreError, events, give_up, restore};
use crate::session_event::CloseReason;
use crate::sharing::Adoption;
use crate::supervisor::leftovers::Ended;
use crate::supervisor::message::{DeleteReply, SupervisorMessage};

/// A session that fails more often is not restored.
pub(super) const MOST_FAILURES: u32 = 3;

/// A session that is being restored.
pub(super) struct Restoring {
    /// The name of its creator.
    pub(super) creator: Option<Arc<str>>,
    /// Whether receivers of webhooks are told of it.
    tells: bool,
    /// How often it has failed.
    pub(super) failures: u32,
    pub(super) waiting: Vec<(Whose, Reply<Option<SessionHandle>>)>,
    pub(super) deletions: Vec<DeleteReply>,
    /// Callers who wait until this gateway goes on with it.
    pub(super) adopting: Vec<Reply<Adoption>>,
}

impl Restoring {
    /// A session that another gateway had.
    pub(super) fn adopted(reply: Reply<Adoption>) -> Self {
        Self {
            creator: None,
            tells: false,
            failures: 0,
            waiting: Vec::new(),
            deletions: Vec::new(),
            adopting: vec![reply],
        }
    }
}

impl State {
    /// Goes on with a session that has failed, from its journal.
    pub(super) fn restore(&mut self, id: SessionId, entry: Entry) {
        let restoring = Restoring {
            creator: entry.creator,
            tells: entry.tells,
            failures: entry.failures + 1,
            waiting: Vec::new(),
            deletions: Vec::new(),
            adopting: Vec::new(),
        };
        self.restoring.insert(id, restoring);
        let (journals, blobs) = (self.journals.clone(), self.blobs.clone());
        let (folders, metrics) = (self.folders.clone(), self.metrics.clone());
        let outbox = self.outbox.clone().filter(|_| entry.tells);
        let work = async move {
            let from = blobs.clone();
            let restored = folders
                .run(id, move || restore(&journals, &from, id))
                .await?;
            match restored {
                Ok(found) => Ok(found),
                Err(error) => {
                    if error.is_damage() {
                        tell_lost(outbox.as_ref(), id, Vec::new()).await;
                    }
                    let give_up = move || {
                        give_up(blobs.as_ref(), &metrics, id, &error);
                        error
                    };
                    Err(folders.run(id, give_up).await?)
                }
            }
        };
        self.mailbox
            .detached_work(work, move |outcome| SupervisorMessage::Restored {
                id,
                outcome,
            });
    }

    /// A session has failed too often: it is set aside for the operator.
    pub(super) fn set_aside(&self, id: SessionId, tells: bool) {
        let (blobs, folders) = (self.blobs.clone(), self.folders.clone());
        let journals = self.journals.clone();
        let outbox = self.outbox.clone().filter(|_| tells);
        tokio::spawn(async move {
            if outbox.is_some() {
                let had = folders.run(id, move || events(&journals, id)).await;
                // What cannot be read cannot be told.
                let had = had.ok().and_then(Result::ok).unwrap_or_default();
                tell_lost(outbox.as_ref(), id, had).await;
            }
            let aside = folders.run(id, move || blobs.set_aside(id)).await;
            match aside {
                Ok(Ok(path)) => tracing::error!(
                    session_id = %id,
                    path = %path.display(),
                    "a session fails again and again; its files are set aside"
                ),
                Ok(Err(error)) => {
                    tracing::error!(session_id = %id, %error, "cannot set a session aside");
                }
                Err(error) => {
                    tracing::error!(session_id = %id, %error, "cannot set a session aside");
                }
            }
        });
    }

    pub(super) async fn restored(&mut self, id: SessionId, outcome: Result<Found, RestoreError>) {
        let Some(Restoring {
            creator,
            tells,
            failures,
            waiting,
            deletions,
            adopting,
        }) = self.restoring.remove(&id)
        else {
            return;
        };
        let not_now = matches!(&outcome, Err(error) if !error.is_damage());
        match outcome {
            outcome if !deletions.is_empty() => {
                let reason = CloseReason::Deleted;
                let ended = Ended {
                    creator,
                    tells: tells.then_some(EventContent::SessionEnded { reason }),
                    had: match outcome {
                        Ok(Found::GoesOn(restored)) => Some(restored.had),
                        Ok(Found::HasEnded { had, .. }) => Some(had),
                        Err(_) => None,
                    },
                };
                self.remove_folder(id, ended, deletions);
            }
            Ok(Found::GoesOn(mut restored)) if !self.closes => {
                restored.tells |= tells;
                match self.spawn_session(*restored, failures).await {
                    Ok(_) => {
                        tracing::info!(session_id = %id, failures, "a session is restored and goes on");
                    }
                    Err(error) => {
                        tracing::error!(session_id = %id, %error, "a session is not started again; its files stay");
                    }
                }
            }
            // It goes on in the next process.
            Ok(Found::GoesOn(_)) => {}
            Ok(Found::HasEnded { had, .. }) => {
                let ended = Ended {
                    creator,
                    tells: tells.then(EventContent::lost),
                    had: Some(had),
                };
                self.remove_folder(id, ended, Vec::new());
            }
            Err(error) => {
                if !matches!(error, RestoreError::Journal(JournalError::Taken)) {
                    tracing::error!(session_id = %id, %error, "a session does not go on here");
                }
                if self.shared.is_some() {
                    self.let_go(id, Vec::new());
                }
            }
        }
        let adoption = match self.sessions.contains_key(&id) {
            true => Adoption::GoesOn,
            false if not_now || self.closes => Adoption::NotNow,
            false => Adoption::Gone,
        };
        for reply in adopting {
            answer(reply, adoption);
        }
        for (whose, reply) in waiting {
            answer(reply, self.find(id, &whose));
        }
    }
}

/// Tells receivers of webhooks, if there are any, that a session is lost, which has had these events. It is
/// lost also if that fails.
async fn tell_lost(outbox: Option<&Outbox>, id: SessionId, had: Vec<Event>) {
    let Some(outbox) = outbox else { return };
    let event = Event {
        session: id,
        at: SystemTime::now(),
        content: EventContent::lost(),
    };
    if let Err(error) = outbox.tell_end(Some(had), event).await {
        tracing::error!(session_id = %id, %error, "no webhook tells that a session is lost");
    }
}
