//! Creating sessions.

use super::{Entry, State};
use crate::actor_status::ActorStatus;
use crate::creator::Creator;
use crate::errors::{CreateSessionError, StorageFailed};
use crate::handle::OwnedSession;
use crate::ids::SessionId;
use crate::mailbox::answer;
use crate::outbox::{Subscription, Webhook, WebhookError};
use crate::session::ledger::{NewSession, Record};
use crate::session::restore::Restored;
use crate::session::{Session, SessionArgs};
use crate::session_config::SessionConfig;
use crate::supervisor::leftovers::Ended;
use crate::supervisor::message::{CreateReply, SessionMailbox, SupervisorMessage};
use ractor::SpawnErr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

impl State {
    /// Sessions of a creator.
    pub(super) fn count_of(&self, name: &Arc<str>) -> usize {
        let sessions = self.sessions.values().map(|entry| &entry.creator);
        let restoring = self.restoring.values().map(|restoring| &restoring.creator);
        let all = sessions.chain(self.creating.values()).chain(restoring);
        all.filter(|creator| creator.as_ref() == Some(name)).count()
    }

    pub(super) fn create(
        &mut self,
        config: SessionConfig,
        creator: Option<Creator>,
        webhook: Option<Webhook>,
        reply: CreateReply,
    ) {
        let limit = self.settings.max_sessions;
        if self.draining {
            return answer(reply, Err(CreateSessionError::ShuttingDown));
        }
        if self.sessions.len() + self.creating.len() + self.restoring.len() >= limit {
            return answer(reply, Err(CreateSessionError::AtCapacity { limit }));
        }
        if let Some(Creator { name, max_sessions }) = &creator
            && self.count_of(name) >= *max_sessions
        {
            let (name, limit) = (name.clone(), *max_sessions);
            return answer(
                reply,
                Err(CreateSessionError::CreatorAtCapacity { name, limit }),
            );
        }
        let id = SessionId::new_v4();
        let creator = creator.map(|creator| creator.name);
        self.creating.insert(id, creator.clone());
        let new = NewSession {
            session: id,
            place: self.next_place,
            created_at: SystemTime::now(),
            config,
            creator,
            webhook: webhook.clone().filter(|_| self.shared.is_some()),
        };
        self.next_place = self.next_place.saturating_add(1);
        let (journals, folders) = (self.journals.clone(), self.folders.clone());
        let blobs = self.blobs.clone();
        let outbox = self.outbox.clone();
        let outbox = outbox.filter(|outbox| webhook.is_some() || outbox.has_operator());
        let work = async move {
            // Before the session, so that nothing happens to it that is not told.
            if let Some(outbox) = &outbox {
                let subscription = Subscription {
                    session: id,
                    owner: new.creator.clone(),
                    webhook,
                    operator: outbox.has_operator(),
                    through: 0,
                };
                if let Err(error) = outbox.subscribe(subscription).await {
                    // One that is not answered in time may still be done.
                    if let WebhookError::Unanswered(_) = error {
                        outbox.forget(id);
                    }
                    return Err(error.into());
                }
            }
            let tells = outbox.is_some();
            let create = move || {
                let first = Record::SessionCreated(Box::new(new.clone()));
                let journal = journals.create(id, &first)?;
                blobs.charge(id, new.creator.clone());
                let begun = Restored::begin(new, journal);
                Ok(Box::new(Restored { tells, ..begun }))
            };
            let created = folders.run(id, create).await;
            let created = created.unwrap_or_else(|error| Err(error.into()));
            if let (Err(_), Some(outbox)) = (&created, &outbox) {
                outbox.forget(id);
            }
            created
        };
        self.mailbox
            .detached_work(work, move |outcome| SupervisorMessage::FolderCreated {
                id,
                outcome,
                reply,
            });
    }

    pub(super) async fn folder_created(
        &mut self,
        id: SessionId,
        outcome: Result<Box<Restored>, StorageFailed>,
        reply: CreateReply,
    ) {
        let creator = self.creating.remove(&id).flatten();
        let session = match outcome {
            Ok(_) if self.draining || reply.is_closed() => {
                self.remove_unused(id, creator);
                Err(CreateSessionError::ShuttingDown)
            }
            Ok(new) => match self.spawn_session(*new, 0).await {
                Ok(mailbox) => {
                    tracing::info!(session_id = %id, "session created");
                    Ok(OwnedSession::new(self.session_handle(id, &mailbox)))
                }
                Err(error) => {
                    self.remove_unused(id, creator);
                    Err(CreateSessionError::Internal(error.to_string()))
                }
            },
            Err(error) => Err(CreateSessionError::Storage(error)),
        };
        // If the creator has stopped waiting, the owned session is dropped and ends.
        answer(reply, session);
    }

    /// Removes a session that nobody knows.
    fn remove_unused(&mut self, id: SessionId, creator: Option<Arc<str>>) {
        if let Some(outbox) = &self.outbox {
            outbox.forget(id);
        }
        let ended = Ended {
            creator,
            tells: None,
            had: None,
        };
        self.remove_folder(id, ended, Vec::new());
    }

    /// Starts a session that has failed so often.
    pub(super) async fn spawn_session(
        &mut self,
        restored: Restored,
        failures: u32,
    ) -> Result<SessionMailbox, SpawnErr> {
        let id = restored.ledger.session();
        let creator = restored.ledger.creator().cloned();
        let (place, created_at) = (restored.ledger.place(), restored.ledger.created_at());
        let stays = Arc::new(AtomicBool::new(false));
        let ends = Arc::new(OnceLock::new());
        let tells = restored.tells;
        let args = SessionArgs {
            id,
            restored,
            stays: stays.clone(),
            ends: ends.clone(),
            outbox: self.outbox.clone().filter(|_| tells),
            journals: self.journals.clone(),
            settings: self.settings.clone(),
            blobs: self.blobs.clone(),
            dispatcher: self.dispatcher.clone(),
            computing: self.computing.clone(),
            decoding: self.decoding.clone(),
            result_files: self.result_files.clone(),
            uploads: self.uploads.clone(),
            status: ActorStatus::new("session", id.to_string()),
            metrics: self.metrics.clone(),
        };
        let mailbox = Session::spawn(args, self.myself.clone()).await?;
        self.by_actor.insert(mailbox.actor().get_id(), id);
        self.sessions.insert(
            id,
            Entry {
                mailbox: mailbox.clone(),
                place,
                created_at,
                creator,
                deletions: Vec::new(),
                failures,
                stays,
                ends,
                tells,
            },
        );
        Ok(mailbox)
    }
}
