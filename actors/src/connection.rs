//! A client's connection to its session, seen from the client's side.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::event::{ClientMessage, SessionEvent};
use crate::handle::Unanswered;
use crate::mailbox::Mailbox;
use crate::memory::{MemoryBudget, MemoryLease};
use crate::session::SessionMessage;

/// Identifies a connection within its session; later ones have larger numbers.
pub(crate) type ConnectionId = u64;

/// The session does not exist: it never did, was deleted, expired or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Session not found; it may have expired, create a new one")]
pub struct SessionNotFound;

/// Why a connection cannot be part of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AttachError {
    /// It does not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// It has too many connections.
    #[error("the session has {limit} connections already; close one of them")]
    TooManyConnections {
        /// How many it may have.
        limit: usize,
    },
}

/// The sending half of a connection. The connection ends when the last clone is dropped.
#[derive(Clone)]
pub struct Requests {
    shared: Arc<Shared>,
}

/// What all clones share.
struct Shared {
    mailbox: Mailbox<SessionMessage>,
    connection: ConnectionId,
    unanswered: Arc<Semaphore>,
    uploads: MemoryBudget,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Gone: then there is nothing to detach from.
        let _ = self.mailbox.cast(SessionMessage::Detach(self.connection));
    }
}

impl Requests {
    pub(crate) fn new(
        mailbox: Mailbox<SessionMessage>,
        connection: ConnectionId,
        unanswered: usize,
        uploads: MemoryBudget,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                mailbox,
                connection,
                unanswered: Arc::new(Semaphore::new(unanswered)),
                uploads,
            }),
        }
    }

    /// The memory that the uploads of all connections share. Who buffers large messages takes a
    /// lease before it does, and passes it on with [`send_holding`](Self::send_holding).
    pub fn memory(&self) -> &MemoryBudget {
        &self.shared.uploads
    }

    /// Passes a message on to the session.
    ///
    /// Waits while too many messages of this connection are unanswered or their answers unread, or
    /// while the images of all connections take too much memory; read nothing more from the
    /// client meanwhile.
    ///
    /// # Errors
    /// [`SessionNotFound`] if the session has ended.
    pub async fn send(&self, message: ClientMessage) -> Result<(), SessionNotFound> {
        self.send_holding(message, None).await
    }

    /// The same for a message whose memory has been counted already, if there is a lease: as much
    /// of it as an image needs is kept until the image is stored.
    ///
    /// # Errors
    /// [`SessionNotFound`] if the session has ended.
    pub async fn send_holding(
        &self,
        message: ClientMessage,
        mut lease: Option<MemoryLease>,
    ) -> Result<(), SessionNotFound> {
        let shared = &self.shared;
        let size = match &message {
            ClientMessage::Image { bytes, .. } => bytes.len(),
            _ => 0,
        };
        if let Some(lease) = &mut lease {
            lease.shrink_to(size);
        }
        let permit = shared
            .unanswered
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| SessionNotFound)?;
        if lease.is_none() && size > 0 {
            lease = Some(shared.uploads.take(size).await);
        }
        let connection = shared.connection;
        shared
            .mailbox
            .cast(SessionMessage::Client {
                connection,
                message,
                permit,
                memory: lease,
            })
            .map_err(|_| SessionNotFound)
    }
}

/// The receiving half of a connection.
pub struct Events {
    receiver: mpsc::Receiver<Delivery>,
}

impl Events {
    pub(crate) fn new(receiver: mpsc::Receiver<Delivery>) -> Self {
        Self { receiver }
    }

    /// The next event, or none if the session ended without a word or gave this connection up
    /// because it does not read.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.receiver.recv().await
    }
}

/// An event on its way to the client.
pub struct Delivery {
    /// What to tell the client.
    pub event: SessionEvent,
    receipt: Option<Receipt>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Delivery {
    /// An event that may get lost with its connection; the permit is of the message it answers.
    pub(crate) fn new(event: SessionEvent, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            event,
            receipt: None,
            _permit: permit,
        }
    }

    /// The one answer of a request: if it does not arrive, the session hears of it.
    pub(crate) fn registered(event: SessionEvent, session: Mailbox<SessionMessage>) -> Self {
        Self {
            receipt: Some(Receipt {
                session,
                event: Some(event.clone()),
            }),
            event,
            _permit: None,
        }
    }

    /// Call it after the event was written to the client. Without it an answer counts as not
    /// delivered and is kept for a client that resumes.
    pub fn confirm(mut self) {
        if let Some(receipt) = &mut self.receipt {
            receipt.event = None;
        }
    }
}

/// Tells the session about an answer that did not arrive.
struct Receipt {
    session: Mailbox<SessionMessage>,
    event: Option<SessionEvent>,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            // Gone: then nobody can resume it either.
            let _ = self.session.cast(SessionMessage::Undelivered(event));
        }
    }
}
