//! The clients of a session: who is connected and what they have not got yet.

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::State;
use crate::connection::{AttachError, ConnectionId, Delivery, Events, Requests};
use crate::event::{MessageId, SessionEvent};
use crate::metrics::ErrorKind;

/// Places in a connection's outbox that only answers may take, so that progress never displaces
/// one.
const RESERVED_FOR_ANSWERS: usize = 16;
/// Places for progress beside them.
const PLACES_FOR_PROGRESS: usize = 32;

/// A connected client.
pub(super) struct Connection {
    outbox: mpsc::Sender<Delivery>,
    /// Whether it takes over what vanished connections asked for.
    resumes: bool,
}

/// Why a message cannot be honoured.
pub(super) struct Refusal {
    pub kind: ErrorKind,
    pub message: String,
    /// What the client calls the message.
    pub id: Option<MessageId>,
    /// What the client calls the image in it.
    pub filename: Option<String>,
}

/// An error as the protocol words it: clients look for "Session has reached maximum image limit" or
/// "Out of memory", while errors of ours begin in lower case.
pub(super) fn wire_text(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

impl State {
    pub(super) fn attach(&mut self, resume: bool) -> Result<(Requests, Events), AttachError> {
        let limit = self.settings.max_connections;
        if self.connections.len() >= limit {
            return Err(AttachError::TooManyConnections { limit });
        }
        self.touch();
        let id = self.next_connection;
        self.next_connection += 1;
        let unanswered = self.settings.max_unanswered_messages;
        // Every answer has a place: those of unanswered messages, those of requests that run, wait
        // or were missed by another connection, and a few words of the session's own.
        let places = unanswered
            + 2 * (self.settings.max_pending_requests + 1)
            + RESERVED_FOR_ANSWERS
            + PLACES_FOR_PROGRESS;
        let (outbox, receiver) = mpsc::channel(places);
        self.connections.insert(
            id,
            Connection {
                outbox,
                resumes: resume,
            },
        );
        tracing::info!(connection = id, resume, "client connected");
        let connected = SessionEvent::Connected {
            image_count: self.image_count(),
            max_images: self.config.max_images,
        };
        self.tell(id, connected, None);
        if resume {
            while let Some(event) = self.undelivered.pop_front() {
                self.answer_request(id, event);
            }
        }
        Ok((
            Requests::new(
                self.mailbox.clone(),
                id,
                unanswered,
                self.upload_memory.clone(),
            ),
            Events::new(receiver),
        ))
    }

    pub(super) fn detach(&mut self, connection: ConnectionId) {
        if self.connections.remove(&connection).is_some() {
            self.touch();
            tracing::info!(connection, "client disconnected");
        }
    }

    /// The connection to answer on instead of one that has gone: the newest that resumes.
    fn heir(&self) -> Option<ConnectionId> {
        self.connections
            .iter()
            .rev()
            .find(|(_, connection)| connection.resumes)
            .map(|(id, _)| *id)
    }

    fn present_or_heir(&self, connection: ConnectionId) -> Option<ConnectionId> {
        if self.connections.contains_key(&connection) {
            Some(connection)
        } else {
            self.heir()
        }
    }

    /// Tells a connection something that is lost if it has gone.
    pub(super) fn tell(
        &mut self,
        connection: ConnectionId,
        event: SessionEvent,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        self.deliver(connection, Delivery::new(event, permit));
    }

    /// Tells a connection that a message cannot be honoured.
    pub(super) fn refuse(
        &mut self,
        connection: ConnectionId,
        refusal: Refusal,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let Refusal {
            kind,
            message,
            id,
            filename,
        } = refusal;
        tracing::debug!(connection, %message, "message refused");
        let message = wire_text(&message);
        self.metrics.error(kind, Some(self.id), &message);
        let event = SessionEvent::Error {
            kind,
            message,
            id,
            filename,
        };
        self.tell(connection, event, permit);
    }

    /// Gives the one answer of a request to who asked or to the one that resumed, else keeps it.
    pub(super) fn answer_request(&mut self, asker: ConnectionId, event: SessionEvent) {
        match self.present_or_heir(asker) {
            Some(connection) => {
                let delivery = Delivery::registered(event, self.mailbox.clone());
                self.deliver(connection, delivery);
            }
            None => self.keep_undelivered(event),
        }
    }

    /// An answer did not reach its client.
    pub(super) fn on_undelivered(&mut self, event: SessionEvent) {
        match self.heir() {
            Some(connection) => self.answer_request(connection, event),
            None => self.keep_undelivered(event),
        }
    }

    fn keep_undelivered(&mut self, event: SessionEvent) {
        self.undelivered.push_back(event);
        // As many as requests can be under way at once; the newest are of most use.
        while self.undelivered.len() > self.settings.max_pending_requests + 1 {
            self.undelivered.pop_front();
        }
    }

    /// Shows progress to who asked or to the one that resumed, if they keep up with reading.
    pub(super) fn show_progress(&mut self, asker: ConnectionId, event: SessionEvent) {
        let Some(connection) = self.present_or_heir(asker) else {
            return;
        };
        let has_room = self.connections.get(&connection).is_some_and(|connection| {
            let used = connection.outbox.max_capacity() - connection.outbox.capacity();
            used < PLACES_FOR_PROGRESS
        });
        if has_room {
            self.tell(connection, event, None);
        }
    }

    fn deliver(&mut self, connection: ConnectionId, delivery: Delivery) {
        let Some(target) = self.connections.get(&connection) else {
            return;
        };
        match target.outbox.try_send(delivery) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.connections.remove(&connection);
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                let message = "client does not read; its connection is given up";
                tracing::warn!(connection, message);
                self.metrics
                    .error(ErrorKind::SlowClient, Some(self.id), message);
                self.connections.remove(&connection);
            }
        }
    }
}
