//! The journals below a data directory.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::file::{Durability, JournalFile, Records};
use super::{Journal, JournalError};
use crate::blobs::Blobs;
use crate::blocking::BlockingPool;
use crate::ids::SessionId;
use crate::mailbox::Mailbox;
use crate::session::ledger::Record;
use crate::session::message::SessionMessage;

/// The file of a session's journal, in the session's folder.
pub(crate) const JOURNAL: &str = "journal.sqlite";

/// The journals below a data directory. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    sessions: PathBuf,
    durability: Durability,
    blobs: Arc<dyn Blobs>,
    pool: BlockingPool,
    writers: TaskTracker,
}

impl Journals {
    /// `sessions` is the folder with the folders of the sessions.
    pub fn new(sessions: PathBuf, durability: Durability, blobs: Arc<dyn Blobs>) -> Self {
        Self {
            sessions,
            durability,
            blobs,
            pool: BlockingPool::for_journals(),
            writers: TaskTracker::new(),
        }
    }

    /// Creates the folder and the journal of a session with its first record. Blocks until they are
    /// durable.
    pub fn create(&self, session: SessionId, first: &Record) -> Result<JournalFile, JournalError> {
        self.blobs.create_session(session)?;
        let created = self.begin(session, first);
        if created.is_err()
            && let Err(error) = self.blobs.remove_session(session)
        {
            tracing::warn!(session_id = %session, %error, "cannot remove the folder of a session that was not created");
        }
        created
    }

    fn begin(&self, session: SessionId, first: &Record) -> Result<JournalFile, JournalError> {
        let mut file = JournalFile::create(&self.path(session), self.durability)?;
        file.append([first])?;
        self.blobs.sync(session, &[])?;
        Ok(file)
    }

    /// Reads the journal of a session of an earlier process. Blocks.
    pub fn open(&self, session: SessionId) -> Result<(JournalFile, Records), JournalError> {
        let path = self.path(session);
        if !path.try_exists()? {
            return Err(JournalError::NoBeginning);
        }
        JournalFile::open(&path, self.durability)
    }

    /// Whether a session has no files but a journal: its creation was never acknowledged if that has no
    /// records. Blocks.
    pub fn is_bare(&self, session: SessionId) -> io::Result<bool> {
        for entry in fs::read_dir(self.sessions.join(session.to_string()))? {
            if !entry?.file_name().to_string_lossy().starts_with(JOURNAL) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The sessions of earlier processes. Blocks.
    pub fn sessions(&self) -> io::Result<Vec<SessionId>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.sessions)? {
            let name = entry?.file_name();
            found.extend(
                name.to_str()
                    .and_then(|name| SessionId::try_parse(name).ok()),
            );
        }
        Ok(found)
    }

    /// Starts to write a session's journal. The session is told by [`SessionMessage::Recorded`].
    pub fn start(
        &self,
        session: SessionId,
        file: JournalFile,
        mailbox: Mailbox<SessionMessage>,
    ) -> Journal {
        Journal::start(self, session, file, mailbox)
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

    fn path(&self, session: SessionId) -> PathBuf {
        self.sessions.join(session.to_string()).join(JOURNAL)
    }
}
