//! The journals of all sessions.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::file::{Durability, Records};
use super::folder::JournalFolder;
use super::place::{JournalPlace, OpenJournal};
use super::{Journal, JournalError};
use crate::blobs::Blobs;
use crate::blocking::BlockingPool;
use crate::ids::SessionId;
use crate::mailbox::Mailbox;
use crate::session::ledger::Record;
use crate::session::message::SessionMessage;

/// The journals of all sessions. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    place: Arc<dyn JournalPlace>,
    blobs: Arc<dyn Blobs>,
    pool: BlockingPool,
    writers: TaskTracker,
}

impl Journals {
    /// `sessions` is the folder with the folders of the sessions.
    pub fn new(sessions: PathBuf, durability: Durability, blobs: Arc<dyn Blobs>) -> Self {
        Self::at(Arc::new(JournalFolder::new(sessions, durability)), blobs)
    }

    /// Journals that are kept there; `blobs` are the sessions' files.
    pub fn at(place: Arc<dyn JournalPlace>, blobs: Arc<dyn Blobs>) -> Self {
        Self {
            place,
            blobs,
            pool: BlockingPool::for_journals(),
            writers: TaskTracker::new(),
        }
    }

    /// Creates the folder and the journal of a session with its first record. Blocks until they are
    /// durable.
    pub fn create(
        &self,
        session: SessionId,
        first: &Record,
    ) -> Result<Box<dyn OpenJournal>, JournalError> {
        self.blobs.create_session(session)?;
        let created = self.begin(session, first);
        if created.is_err()
            && let Err(error) = self.blobs.remove_session(session)
        {
            tracing::warn!(session_id = %session, %error, "cannot remove the folder of a session that was not created");
        }
        created
    }

    fn begin(
        &self,
        session: SessionId,
        first: &Record,
    ) -> Result<Box<dyn OpenJournal>, JournalError> {
        let journal = self.place.create(session, first)?;
        self.blobs.sync(session, &[])?;
        Ok(journal)
    }

    /// Reads the journal of a session of an earlier process. Blocks.
    pub fn open(
        &self,
        session: SessionId,
    ) -> Result<(Box<dyn OpenJournal>, Records), JournalError> {
        self.place.open(session)
    }

    /// Whether a session has no files but a journal: its creation was never acknowledged if that has no
    /// records. Blocks.
    pub fn is_bare(&self, session: SessionId) -> io::Result<bool> {
        self.place.is_bare(session)
    }

    /// The sessions of earlier processes. Blocks.
    pub fn sessions(&self) -> io::Result<Vec<SessionId>> {
        self.place.sessions()
    }

    /// Starts to write a session's journal. The session is told by [`SessionMessage::Recorded`].
    pub fn start(
        &self,
        session: SessionId,
        journal: Box<dyn OpenJournal>,
        mailbox: Mailbox<SessionMessage>,
    ) -> Journal {
        Journal::start(self, session, journal, mailbox)
    }

    pub(super) fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.blobs
    }

    pub(super) fn pool(&self) -> &BlockingPool {
        &self.pool
    }

    pub(super) fn writers(&self) -> &TaskTracker {
        &self.writers
    }

    /// Waits until the journals of all sessions are written, which have ended.
    pub async fn written(&self) {
        self.writers.close();
        self.writers.wait().await;
    }
}
