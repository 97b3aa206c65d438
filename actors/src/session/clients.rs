//! The attached clients of a session, and its undelivered answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::context::Context;
use super::envelope::Envelope;
use crate::client::{Delivery, Events, Requests};
use crate::error_code::ErrorCode;
use crate::error_kind::ErrorKind;
use crate::errors::AttachError;
use crate::ids::ClientId;
use crate::log_rate::LogRate;
use crate::session_event::{CloseReason, SessionEvent};
use crate::settings::Settings;
use crate::updates::AttachOptions;
use crate::upload_memory::UploadMemory;

/// Lines about clients that come and go, of all sessions; more in a minute are not logged.
static LINES: LazyLock<LogRate> = LazyLock::new(|| LogRate::new(600));

/// Answers that wait for a client, for each request that may run or wait.
const OWED_PER_REQUEST: usize = 4;
/// Capacity of a client's outbox that is reserved for answers: progress never displaces one.
const RESERVED_FOR_ANSWERS: usize = 16;
/// Additional capacity for progress.
const PLACES_FOR_PROGRESS: usize = 32;

/// The attached clients, and the answers that no client has received.
pub(super) struct Clients {
    context: Context,
    upload_memory: UploadMemory,
    attached: BTreeMap<ClientId, Client>,
    next: ClientId,
    /// The oldest first.
    undelivered: VecDeque<SessionEvent>,
}

struct Client {
    outbox: mpsc::Sender<Delivery>,
    joined: AttachOptions,
}

impl Client {
    /// Whether it gets the answers to requests of disconnected clients.
    fn resumes(&self) -> bool {
        matches!(self.joined, AttachOptions::Use { resume: true, .. })
    }

    fn watches(&self) -> bool {
        self.joined == AttachOptions::Watch
    }
}

/// An error text with a capital first letter, as in the protocol: clients search for "Session has
/// reached maximum image limit" or "Out of memory".
pub(super) fn wire_text(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// The most answers that a session keeps for clients that have not received them.
pub(super) fn most_owed(settings: &Settings) -> usize {
    OWED_PER_REQUEST * (settings.max_pending_requests + 1)
}

impl Clients {
    /// `undelivered` are answers that no client has received, the oldest first.
    pub fn new(
        context: Context,
        upload_memory: UploadMemory,
        undelivered: Vec<SessionEvent>,
    ) -> Self {
        let upload_memory = upload_memory.of(context.owner().client());
        Self {
            context,
            upload_memory,
            attached: BTreeMap::new(),
            next: 1,
            undelivered: undelivered.into(),
        }
    }

    /// The memory that all uploads share.
    pub fn upload_memory(&self) -> &UploadMemory {
        &self.upload_memory
    }

    pub fn count(&self) -> usize {
        self.attached.len()
    }

    /// Attaches a client. It gets `connected` first.
    pub fn attach(
        &mut self,
        joined: AttachOptions,
        connected: SessionEvent,
    ) -> Result<(ClientId, Requests, Events), AttachError> {
        self.check_room(joined)?;
        let settings = &self.context.settings;
        let id = self.next;
        self.next += 1;
        let unanswered = settings.max_unanswered_messages;
        // A place for every answer: to unanswered messages, to requests that run, wait or were
        // missed by another client, and for some messages of the session's own.
        let places = unanswered
            + settings.max_pending_requests
            + 1
            + most_owed(settings)
            + RESERVED_FOR_ANSWERS
            + PLACES_FOR_PROGRESS;
        let (outbox, receiver) = mpsc::channel(places);
        self.attached.insert(id, Client { outbox, joined });
        if LINES.allows() {
            match joined {
                AttachOptions::Use { resume, .. } => {
                    tracing::info!(client = id, resume, "client connected");
                }
                AttachOptions::Watch => tracing::info!(client = id, "client watches"),
            }
        }
        self.send(id, connected, None);
        let requests = Requests::new(
            self.context.mailbox.clone(),
            id,
            unanswered,
            self.upload_memory.clone(),
        );
        Ok((id, requests, Events::new(receiver)))
    }

    fn check_room(&self, joined: AttachOptions) -> Result<(), AttachError> {
        let watching = self.watching();
        let settings = &self.context.settings;
        let (max_watchers, max_others) = (settings.max_watchers, settings.max_connections);
        match joined {
            AttachOptions::Watch if watching >= max_watchers => Err(AttachError::TooManyWatchers {
                limit: max_watchers,
            }),
            AttachOptions::Use { .. } if self.count() - watching >= max_others => {
                Err(AttachError::TooManyConnections { limit: max_others })
            }
            _ => Ok(()),
        }
    }

    /// How many clients watch.
    fn watching(&self) -> usize {
        let clients = self.attached.values();
        clients.filter(|client| client.watches()).count()
    }

    pub fn watches(&self, client: ClientId) -> bool {
        self.attached.get(&client).is_some_and(Client::watches)
    }

    /// Tells the clients that watch of a change.
    pub fn tell_watching(&mut self, event: &SessionEvent) {
        let watching = self.attached.iter();
        let watching = watching.filter(|(_, client)| client.watches());
        let watching: Vec<_> = watching.map(|(id, _)| *id).collect();
        for client in watching {
            self.send(client, event.clone(), None);
        }
    }

    /// Detaches a client. Returns whether it was attached.
    pub fn detach(&mut self, client: ClientId) -> bool {
        let detached = self.attached.remove(&client).is_some();
        if detached && LINES.allows() {
            tracing::info!(client, "client disconnected");
        }
        detached
    }

    /// Sends an event, or drops it if the client has disconnected.
    pub fn send(
        &mut self,
        client: ClientId,
        event: SessionEvent,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        self.deliver(client, Delivery::new(event, permit));
    }

    /// Answers a message with an error.
    pub fn refuse(&mut self, envelope: Envelope, code: ErrorCode, message: &str) {
        tracing::debug!(client = envelope.client, %message, "message refused");
        let message = wire_text(message);
        let metrics = &self.context.metrics;
        metrics.error(code.kind(), Some(self.context.id), &message);
        let event = SessionEvent::Error {
            code,
            message,
            id: envelope.id,
            filename: envelope.filename,
            request: None,
        };
        self.send(envelope.client, event, Some(envelope.permit));
    }

    /// Sends the one answer to a request. If it does not reach the client, `undelivered` goes back to
    /// the session.
    pub fn answer(&mut self, client: ClientId, event: SessionEvent, undelivered: SessionEvent) {
        let mailbox = self.context.mailbox.clone();
        self.deliver(client, Delivery::with_receipt(event, undelivered, mailbox));
    }

    /// Takes the oldest answer that no client has received.
    pub fn next_undelivered(&mut self) -> Option<SessionEvent> {
        self.undelivered.pop_front()
    }

    pub fn is_attached(&self, client: ClientId) -> bool {
        self.attached.contains_key(&client)
    }

    /// Sends progress of a request, unless the client reads too slowly.
    pub fn show_progress(&mut self, asker: ClientId, event: SessionEvent) {
        let Some(client) = self.receiver_for(asker) else {
            return;
        };
        let has_room = self.attached.get(&client).is_some_and(|client| {
            let used = client.outbox.max_capacity() - client.outbox.capacity();
            used < PLACES_FOR_PROGRESS
        });
        if has_room {
            self.send(client, event, None);
        }
    }

    /// Tells all clients that the session ends, and detaches them.
    pub fn close(&mut self, reason: CloseReason) {
        let clients: Vec<_> = self.attached.keys().copied().collect();
        for client in clients {
            self.send(client, SessionEvent::Closed(reason), None);
        }
        self.attached.clear();
    }

    /// Who gets the answer to a request: the client that asked, else one that resumes.
    pub fn receiver_for(&self, asker: ClientId) -> Option<ClientId> {
        if self.attached.contains_key(&asker) {
            Some(asker)
        } else {
            self.newest_resuming()
        }
    }

    /// Whether a client takes over the answers of earlier ones.
    pub fn resumes(&self, client: ClientId) -> bool {
        self.attached.get(&client).is_some_and(Client::resumes)
    }

    /// Who gets an answer whose client has disconnected.
    pub fn newest_resuming(&self) -> Option<ClientId> {
        self.attached
            .iter()
            .rev()
            .find(|(_, client)| client.resumes())
            .map(|(id, _)| *id)
    }

    /// Keeps an answer that no client can receive now. Returns one that is given up for it.
    pub fn keep(&mut self, event: SessionEvent) -> Option<SessionEvent> {
        self.undelivered.push_back(event);
        // The newest are the most useful.
        if self.undelivered.len() > most_owed(&self.context.settings) {
            self.undelivered.pop_front()
        } else {
            None
        }
    }

    fn deliver(&mut self, client: ClientId, delivery: Delivery) {
        let Some(target) = self.attached.get(&client) else {
            return;
        };
        match target.outbox.try_send(delivery) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.attached.remove(&client);
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                let message = "client does not read its answers and is disconnected";
                tracing::warn!(client, message);
                let metrics = &self.context.metrics;
                metrics.error(ErrorKind::SlowClient, Some(self.context.id), message);
                self.attached.remove(&client);
            }
        }
    }
}
