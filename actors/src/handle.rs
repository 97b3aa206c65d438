//! The handle of a session, for callers outside the actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pointstream_reconstruction::formats::ResultFormat;
use tokio::sync::oneshot;

use crate::answer::{Answer, ResultFile};
use crate::client::{Events, Requests};
use crate::errors::{AttachError, ResultFileError, ThumbnailError, Unanswered};
use crate::ids::SessionId;
use crate::mailbox::{AskError, Mailbox, Reply};
use crate::report::{ImageSummary, SessionSummary};
use crate::session::message::SessionMessage;
use crate::session_event::CloseReason;

/// Extra time to wait for the session to report a file that timed out.
const REPORT_MARGIN: Duration = Duration::from_secs(10);

/// A handle of one session.
#[derive(Clone)]
pub struct SessionHandle {
    id: SessionId,
    mailbox: Mailbox<SessionMessage>,
    /// Whether the system shuts down.
    ending: Arc<AtomicBool>,
    /// How long a file may take to be written, and how long it may wait for its turn before.
    file_timeout: Duration,
}

impl SessionHandle {
    pub(crate) fn new(
        id: SessionId,
        mailbox: Mailbox<SessionMessage>,
        ending: Arc<AtomicBool>,
        file_timeout: Duration,
    ) -> Self {
        Self {
            id,
            mailbox,
            ending,
            file_timeout,
        }
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    /// A snapshot of the session.
    ///
    /// # Errors
    /// [`Unanswered`] if it has ended or is busy.
    pub async fn summary(&self) -> Result<SessionSummary, Unanswered> {
        self.ask(SessionMessage::Summary).await
    }

    /// The newest result, if there is one.
    ///
    /// # Errors
    /// [`Unanswered`] if the session has ended or is busy.
    pub async fn result(&self) -> Result<Option<Arc<Answer>>, Unanswered> {
        self.ask(SessionMessage::Result).await
    }

    /// The images, in the order in which they were stored.
    ///
    /// # Errors
    /// [`Unanswered`] if the session has ended or is busy.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, Unanswered> {
        self.ask(SessionMessage::Images).await
    }

    /// A small copy of an image as a JPEG file, or none if there is no image of this index.
    ///
    /// # Errors
    /// [`ThumbnailError`] if the session has ended or the image cannot be read.
    pub async fn thumbnail(&self, index: usize) -> Result<Option<Bytes>, ThumbnailError> {
        self.ask(|reply| SessionMessage::Thumbnail { index, reply })
            .await?
    }

    /// The newest result in a format, or none if there is no result. The file is written at the
    /// first request for the format, which may take long, and kept. Writing stops when no
    /// caller waits for the file any longer.
    ///
    /// # Errors
    /// [`ResultFileError`] if the session has ended or the file cannot be written.
    pub async fn file(&self, format: ResultFormat) -> Result<Option<ResultFile>, ResultFileError> {
        // Declared before the receiver, so that it is dropped after it: the session then sees that
        // this caller no longer waits.
        let mut waiting = Waiting {
            mailbox: &self.mailbox,
            answered: false,
        };
        let (reply, file) = oneshot::channel();
        self.mailbox
            .cast(SessionMessage::File { format, reply })
            .map_err(|_| self.gone())?;
        // The session bounds waiting and writing itself; this is for a session that is stuck.
        let limit = self.file_timeout.saturating_mul(2);
        let file = tokio::time::timeout(limit.saturating_add(REPORT_MARGIN), file)
            .await
            .map_err(|_| Unanswered::Busy)?;
        waiting.answered = true;
        file.map_err(|_| self.gone())?
    }

    /// Attaches a client. The first event is always
    /// [`Connected`](crate::SessionEvent::Connected). With `resume` it gets the answers that no
    /// client has received, and those to requests of disconnected clients.
    ///
    /// # Errors
    /// [`AttachError`] if the session has ended or has too many clients.
    pub async fn attach(&self, resume: bool) -> Result<(Requests, Events), AttachError> {
        self.ask(|reply| SessionMessage::Attach { resume, reply })
            .await?
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(Reply<T>) -> SessionMessage,
    ) -> Result<T, Unanswered> {
        self.mailbox
            .ask(question)
            .await
            .map_err(|error| match error {
                AskError::Gone(_) => self.gone(),
                AskError::Late => Unanswered::Busy,
            })
    }

    /// The session has ended: alone, or with the system.
    fn gone(&self) -> Unanswered {
        if self.ending.load(Ordering::Relaxed) {
            Unanswered::ShuttingDown
        } else {
            Unanswered::NotFound
        }
    }
}

/// Notifies the session when the caller stops waiting for a file.
struct Waiting<'a> {
    mailbox: &'a Mailbox<SessionMessage>,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.mailbox.notify(SessionMessage::FileUnwanted);
        }
    }
}

/// A session that ends when this is dropped.
pub struct OwnedSession {
    handle: SessionHandle,
    kept: bool,
}

impl OwnedSession {
    pub(crate) fn new(handle: SessionHandle) -> Self {
        Self {
            handle,
            kept: false,
        }
    }

    pub fn id(&self) -> SessionId {
        self.handle.id
    }

    pub fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    /// Keeps the session until it is deleted or expires.
    pub fn keep(mut self) -> SessionHandle {
        self.kept = true;
        self.handle.mailbox.notify(SessionMessage::Kept);
        self.handle.clone()
    }
}

impl Drop for OwnedSession {
    fn drop(&mut self) {
        if !self.kept {
            let close = SessionMessage::Close(CloseReason::Deleted);
            self.handle.mailbox.notify(close);
        }
    }
}
