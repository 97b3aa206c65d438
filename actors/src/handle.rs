//! The handle of a session, for callers outside the actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pointstream_reconstruction::formats::ResultFormat;
use tokio::sync::oneshot;

use crate::answer::{Answer, ResultFile};
use crate::client::{Events, Requests};
use crate::errors::{
    AttachError, CreateSessionError, NotCompleted, ResultFileError, StoredImageError,
    TakeOverError, Unanswered,
};
use crate::ids::SessionId;
use crate::mailbox::{AskError, Mailbox, Reply};
use crate::report::{ImageSummary, OriginalImage, SessionSummary};
use crate::session::message::SessionMessage;
use crate::session_event::CloseReason;
use crate::updates::AttachOptions;

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

    /// The images, in the order in which they were stored. Callers share the list.
    ///
    /// # Errors
    /// [`Unanswered`] if the session has ended or is busy.
    pub async fn images(&self) -> Result<Arc<[ImageSummary]>, Unanswered> {
        self.ask(SessionMessage::Images).await
    }

    /// A small copy of an image as a JPEG file, or none if there is no image of this index.
    ///
    /// # Errors
    /// [`StoredImageError`] if the session has ended or the image cannot be read.
    pub async fn thumbnail(&self, index: usize) -> Result<Option<Bytes>, StoredImageError> {
        self.ask(|reply| SessionMessage::Thumbnail { index, reply })
            .await?
    }

    /// An image as its client sent it, or none if there is no image of this index.
    ///
    /// # Errors
    /// [`StoredImageError`] if the session has ended or the image cannot be read.
    pub async fn original(&self, index: usize) -> Result<Option<OriginalImage>, StoredImageError> {
        self.ask(|reply| SessionMessage::Original { index, reply })
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

    /// Ends all requests that wait or run; each is answered with an error. Returns how many there were.
    ///
    /// # Errors
    /// [`Unanswered`] if the session has ended or is busy.
    pub async fn cancel(&self) -> Result<usize, Unanswered> {
        self.ask(SessionMessage::Cancel).await
    }

    /// Takes over the images of another session, without an upload. Afterwards the other session may
    /// end. A request on this session covers all of them.
    ///
    /// # Errors
    /// [`TakeOverError`] if one of the sessions has ended or is busy, or files cannot be shared.
    pub async fn take_over(&self, other: &Self) -> Result<(), TakeOverError> {
        let images = other.ask(SessionMessage::StoredImages).await?;
        self.ask(|reply| SessionMessage::TakeOver(images, reply))
            .await?
    }

    /// Lets a completed session take images and requests again.
    ///
    /// # Errors
    /// [`Unanswered`] if the session has ended or is busy; [`NotCompleted`] if it is not completed.
    pub async fn reopen(&self) -> Result<Result<(), NotCompleted>, Unanswered> {
        self.ask(SessionMessage::Reopen).await
    }

    /// Attaches a client. The first event is always
    /// [`Connected`](crate::SessionEvent::Connected).
    ///
    /// # Errors
    /// [`AttachError`] if the session has ended, has too many clients or cannot do what the client
    /// asks for.
    pub async fn attach(&self, options: AttachOptions) -> Result<(Requests, Events), AttachError> {
        self.ask(|reply| SessionMessage::Attach { options, reply })
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

    /// Keeps the session until it is deleted or expires. It also goes on after the process, with the images
    /// that it has got by now.
    ///
    /// # Errors
    /// [`CreateSessionError`] if the session has ended, or that it is kept cannot be stored.
    pub async fn keep(mut self) -> Result<SessionHandle, CreateSessionError> {
        let (mailbox, timeout) = (&self.handle.mailbox, self.handle.file_timeout);
        // The images that it begins with are stored first.
        let kept = mailbox.ask_within(timeout, SessionMessage::Keep).await;
        kept.map_err(|error| match error {
            AskError::Gone(_) => CreateSessionError::ShuttingDown,
            AskError::Late => CreateSessionError::Busy,
        })?
        .map_err(CreateSessionError::Storage)?;
        self.kept = true;
        Ok(self.handle.clone())
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
