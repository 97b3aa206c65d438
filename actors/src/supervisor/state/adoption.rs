//! Sessions that this gateway takes over from another one, and those that another one has taken over.

use super::State;
use super::restoring::Restoring;
use crate::errors::{StorageFailed, Unanswered};
use crate::ids::SessionId;
use crate::mailbox::{Reply, answer};
use crate::outbox::{Event, EventContent, Outbox, Subscription, WebhookError};
use crate::session::ledger::Ledger;
use crate::session::restore::{Found, RestoreError, give_up, restore};
use crate::session_event::CloseReason;
use crate::sharing::Adoption;
use crate::supervisor::message::{DeleteReply, SupervisorMessage};
use std::time::SystemTime;

impl State {
    /// Goes on with a session that another gateway had.
    pub(super) fn adopt(&mut self, id: SessionId, reply: Reply<Adoption>) {
        if self.sessions.contains_key(&id) {
            return answer(reply, Adoption::GoesOn);
        }
        if let Some(restoring) = self.restoring.get_mut(&id) {
            return restoring.adopting.push(reply);
        }
        let is_ending = self.removing.contains_key(&id) || self.leftovers.get(id).is_some();
        let Some(shared) = self.shared.clone().filter(|_| !self.draining) else {
            return answer(reply, Adoption::NotNow);
        };
        if is_ending {
            return answer(reply, Adoption::Gone);
        }
        self.restoring.insert(id, Restoring::adopted(reply));
        let (journals, blobs) = (self.journals.clone(), self.blobs.clone());
        let (folders, metrics) = (self.folders.clone(), self.metrics.clone());
        let outbox = self.outbox.clone();
        let work = async move {
            let from = blobs.clone();
            let read = move || restore(&journals, &from, id);
            let found = folders.run(id, read).await?;
            match found {
                Ok(Found::GoesOn(mut restored)) => {
                    if let Some(outbox) = &outbox {
                        restored.tells = subscribe(outbox, &restored.ledger)
                            .await
                            .map_err(RestoreError::Webhooks)?;
                    }
                    Ok(Found::GoesOn(restored))
                }
                Ok(Found::HasEnded { had, ledger }) => {
                    if let (Some(outbox), Some(ledger)) = (&outbox, &ledger) {
                        tell_end(outbox, ledger, &had)
                            .await
                            .map_err(RestoreError::Webhooks)?;
                    }
                    Ok(Found::HasEnded { had, ledger })
                }
                Err(error) => {
                    let give_up = move || {
                        give_up(shared.as_ref(), &metrics, id, &error);
                        error
                    };
                    Err(folders.run(id, give_up).await?)
                }
            }
        };
        self.mailbox
            .detached_work(work, move |outcome| SupervisorMessage::Adopted {
                id,
                outcome,
            });
    }

    /// Another gateway has the session: forgets what is here of it.
    pub(super) fn let_go(&self, id: SessionId, deletions: Vec<DeleteReply>) {
        for reply in deletions {
            answer(reply, Err(Unanswered::Busy.into()));
        }
        let Some(shared) = self.shared.clone() else {
            return;
        };
        let folders = self.folders.clone();
        tokio::spawn(async move {
            let removed = folders.run(id, move || shared.let_go(id)).await;
            let removed: Result<(), StorageFailed> = match removed {
                Ok(removed) => removed.map_err(StorageFailed::from),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = removed {
                tracing::warn!(session_id = %id, %error, "copies of files of a session that another server has stay until the next start");
            }
        });
    }
}

/// Adds who is told of a session that another gateway had. Returns whether anybody is.
async fn subscribe(outbox: &Outbox, ledger: &Ledger) -> Result<bool, WebhookError> {
    let (webhook, operator) = (ledger.webhook().cloned(), outbox.has_operator());
    let tells = webhook.is_some() || operator;
    if tells {
        let subscription = Subscription {
            session: ledger.session(),
            owner: ledger.creator().cloned(),
            webhook,
            operator,
            through: 0,
        };
        outbox.subscribe(subscription).await?;
    }
    Ok(tells)
}

/// Tells the end of a session whose gateway was gone before it could.
async fn tell_end(outbox: &Outbox, ledger: &Ledger, had: &[Event]) -> Result<(), WebhookError> {
    if !ledger.is_kept() || !subscribe(outbox, ledger).await? {
        return Ok(());
    }
    let reason = CloseReason::Deleted;
    let end = Event {
        session: ledger.session(),
        at: SystemTime::now(),
        content: EventContent::SessionEnded { reason },
    };
    outbox.tell_end(Some(had.to_vec()), end).await
}
