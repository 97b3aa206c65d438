//! A client's connection to its session, seen from the client's side.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::client_message::ClientMessage;
use crate::errors::SessionNotFound;
use crate::ids::ClientId;
use crate::mailbox::Mailbox;
use crate::session::envelope::Envelope;
use crate::session::message::SessionMessage;
use crate::session_event::SessionEvent;
use crate::upload_memory::{UploadLease, UploadMemory};

/// The sending half. The client is detached when the last clone is dropped.
#[derive(Clone)]
pub struct Requests {
    shared: Arc<Shared>,
}

struct Shared {
    mailbox: Mailbox<SessionMessage>,
    client: ClientId,
    unanswered: Arc<Semaphore>,
    uploads: UploadMemory,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.mailbox.notify(SessionMessage::Detach(self.client));
    }
}

impl Requests {
    pub(crate) fn new(
        mailbox: Mailbox<SessionMessage>,
        client: ClientId,
        unanswered: usize,
        uploads: UploadMemory,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                mailbox,
                client,
                unanswered: Arc::new(Semaphore::new(unanswered)),
                uploads,
            }),
        }
    }

    /// The memory that all uploads share. A caller that buffers large messages takes a lease first
    /// and passes it on with [`send_holding`](Self::send_holding).
    pub fn memory(&self) -> &UploadMemory {
        &self.shared.uploads
    }

    /// Sends a message to the session.
    ///
    /// Waits while too many messages of this client are unanswered or their answers unread, or
    /// while the uploads of all clients take too much memory. Do not read from the client in the
    /// meantime.
    ///
    /// # Errors
    /// [`SessionNotFound`] if the session has ended.
    pub async fn send(&self, message: ClientMessage) -> Result<(), SessionNotFound> {
        self.send_holding(message, None).await
    }

    /// The same for a message whose memory is already counted, if there is a lease. That of an image
    /// is kept until the image is stored.
    ///
    /// # Errors
    /// [`SessionNotFound`] if the session has ended.
    pub async fn send_holding(
        &self,
        mut message: ClientMessage,
        mut lease: Option<UploadLease>,
    ) -> Result<(), SessionNotFound> {
        let shared = &self.shared;
        let size = match &message {
            ClientMessage::Image(image) => image.bytes.len(),
            _ => 0,
        };
        if let Some(lease) = &mut lease {
            // An image may hold more than its bytes: all of the message that it came in.
            let held = if size > 0 { lease.bytes() } else { 0 };
            lease.settle(held);
        }
        let permit = shared
            .unanswered
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| SessionNotFound)?;
        if lease.is_none() && size > 0 {
            let lease = lease.insert(shared.uploads.lease());
            lease.grow(size, Some(size), size).await;
        }
        let (id, filename) = message.take_names();
        let envelope = Envelope {
            client: shared.client,
            id,
            filename,
            permit,
        };
        shared
            .mailbox
            .cast(SessionMessage::Client {
                envelope,
                message,
                memory: lease,
            })
            .map_err(|_| SessionNotFound)
    }
}

/// The receiving half.
pub struct Events {
    receiver: mpsc::Receiver<Delivery>,
}

impl Events {
    pub(crate) fn new(receiver: mpsc::Receiver<Delivery>) -> Self {
        Self { receiver }
    }

    /// The next event, or none if the session failed or detached this client because it does not
    /// read.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.receiver.recv().await
    }
}

/// An event on its way to the client.
pub struct Delivery {
    pub event: SessionEvent,
    receipt: Option<Receipt>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Delivery {
    /// An event that is dropped if the client disconnects. `permit` is that of the message that it
    /// answers.
    pub(crate) fn new(event: SessionEvent, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            event,
            receipt: None,
            _permit: permit,
        }
    }

    /// The one answer to a request. If it is not confirmed, `undelivered` goes back to the session.
    pub(crate) fn with_receipt(
        event: SessionEvent,
        undelivered: SessionEvent,
        session: Mailbox<SessionMessage>,
    ) -> Self {
        Self {
            receipt: Some(Receipt {
                session,
                event: Some(undelivered),
            }),
            event,
            _permit: None,
        }
    }

    /// Whether it counts as undelivered, and is kept for a client that resumes, until it is confirmed.
    pub fn awaits_receipt(&self) -> bool {
        self.receipt.is_some()
    }

    /// The client cannot take this result over its connection. One that resumes is told so instead.
    pub fn too_large(mut self) {
        if let Some(receipt) = &mut self.receipt
            && let Some(event) = receipt.event.take()
        {
            receipt.event = Some(event.into_notice());
        }
    }

    /// Call this when the client has the event. Written to its connection is not enough for an answer
    /// that [awaits a receipt](Self::awaits_receipt).
    pub fn confirm(mut self) {
        if let Some(receipt) = &mut self.receipt {
            receipt.confirm();
        }
    }
}

/// Returns an undelivered answer to the session.
struct Receipt {
    session: Mailbox<SessionMessage>,
    event: Option<SessionEvent>,
}

impl Receipt {
    fn confirm(&mut self) {
        let request = self.event.take().and_then(|event| event.request());
        if let Some(request) = request {
            self.session.notify(SessionMessage::Delivered(request));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.session.notify(SessionMessage::Undelivered(event));
        }
    }
}
