//! A session, seen from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pointstream_reconstruction::formats::ResultFormat;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::connection::{AttachError, Events, Requests};
use crate::event::{Answer, CloseReason, SessionId};
use crate::mailbox::{AskError, Mailbox, Reply};
use crate::result_file::{ResultFile, ResultFileError};
use crate::session::SessionMessage;
use crate::summary::{ImageSummary, SessionSummary, ThumbnailFailed};

/// How much longer than a file may wait and take to be written is waited for the word that it was
/// not.
const GRACE: Duration = Duration::from_secs(10);

/// Why a session does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unanswered {
    /// It does not exist: it never did, was deleted, expired or failed.
    #[error("Session not found; it may have expired, create a new one")]
    NotFound,
    /// The answer takes too long.
    #[error("server is busy; try again later")]
    Busy,
    /// It has ended with the system.
    #[error("server is shutting down")]
    ShuttingDown,
}

/// A handle of one session.
#[derive(Clone)]
pub struct SessionHandle {
    pub(crate) id: SessionId,
    pub(crate) mailbox: Mailbox<SessionMessage>,
    /// Whether the system ends.
    pub(crate) ending: Arc<AtomicBool>,
    /// How long a file may take to be written, and wait for its turn before.
    pub(crate) export_timeout: Duration,
}

impl SessionHandle {
    /// Its identifier.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What there is to know about it.
    ///
    /// # Errors
    /// [`Unanswered`] if it has ended meanwhile or is busy.
    pub async fn summary(&self) -> Result<SessionSummary, Unanswered> {
        self.ask(SessionMessage::Summary).await
    }

    /// Its newest result, if it has one.
    ///
    /// # Errors
    /// [`Unanswered`] if it has ended meanwhile or is busy.
    pub async fn result(&self) -> Result<Option<Arc<Answer>>, Unanswered> {
        self.ask(SessionMessage::Result).await
    }

    /// Its images, in the order in which they were stored.
    ///
    /// # Errors
    /// [`Unanswered`] if it has ended meanwhile or is busy.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, Unanswered> {
        self.ask(SessionMessage::Images).await
    }

    /// A small copy of an image as a JPEG file, or nothing if it has no image at this place.
    ///
    /// # Errors
    /// [`ThumbnailFailed`] if it has ended meanwhile or the image cannot be read.
    pub async fn thumbnail(&self, index: usize) -> Result<Option<Bytes>, ThumbnailFailed> {
        self.ask(|reply| SessionMessage::Thumbnail { index, reply })
            .await?
    }

    /// Its newest result in a format, or nothing if it has none. Written at the first request for
    /// the format, which may take long; from then on the file is there. Writing stops when all who
    /// wait for the file have left.
    ///
    /// # Errors
    /// [`ResultFileError`] if the session has ended meanwhile or the file cannot be written.
    pub async fn export(
        &self,
        format: ResultFormat,
    ) -> Result<Option<ResultFile>, ResultFileError> {
        // Declared first, so that it is dropped after the receiver: then the session sees who left.
        let mut waiting = Waiting {
            mailbox: &self.mailbox,
            answered: false,
        };
        let (reply, file) = oneshot::channel();
        self.mailbox
            .cast(SessionMessage::Export { format, reply })
            .map_err(|_| self.gone())?;
        // The session bounds the wait for its turn and the writing; this is for one that is stuck.
        let limit = self.export_timeout.saturating_mul(2);
        let file = tokio::time::timeout(limit.saturating_add(GRACE), file)
            .await
            .map_err(|_| Unanswered::Busy)?;
        waiting.answered = true;
        file.map_err(|_| self.gone())?
    }

    /// Connects to it. The first event is always
    /// [`Connected`](crate::event::SessionEvent::Connected). With `resume`, answers that no client
    /// has got follow, and so will those of requests whose client has gone.
    ///
    /// # Errors
    /// [`AttachError`] if it has ended meanwhile or has too many connections.
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

    /// What it means that the session has ended.
    fn gone(&self) -> Unanswered {
        if self.ending.load(Ordering::Relaxed) {
            Unanswered::ShuttingDown
        } else {
            Unanswered::NotFound
        }
    }
}

/// One who waits for a file, and says so when they leave.
struct Waiting<'a> {
    mailbox: &'a Mailbox<SessionMessage>,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            // Gone: then nothing is written any more.
            let _ = self.mailbox.cast(SessionMessage::ExportLeft);
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

    /// Its identifier.
    pub fn id(&self) -> SessionId {
        self.handle.id
    }

    /// The session itself.
    pub fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    /// Lets the session live on until it is deleted or expires.
    pub fn keep(mut self) -> SessionHandle {
        self.kept = true;
        // Gone: then there is nothing to keep.
        let _ = self.handle.mailbox.cast(SessionMessage::Kept);
        self.handle.clone()
    }
}

impl Drop for OwnedSession {
    fn drop(&mut self) {
        if !self.kept {
            let close = SessionMessage::Close(CloseReason::Deleted);
            // Gone: then it has ended by itself.
            let _ = self.handle.mailbox.cast(close);
        }
    }
}
