//! A data directory that no server uses, for tools.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

use crate::blobs::{Blobs, DataDir, DataDirError, DiskLimits};
use crate::ids::SessionId;
use crate::journal::{Durability, Journals};
use crate::metrics::Metrics;
use crate::outbox::{self, OutboxCounts, OutboxError};
use crate::session::restore::{RestoreError, check};

/// A data directory that no server uses. All methods block.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    sessions: PathBuf,
    blobs: Arc<dyn Blobs>,
    journals: Journals,
}

/// What is stored of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    pub id: SessionId,
    pub created_at: SystemTime,
    pub images: u32,
    /// Requests without an answer.
    pub requests: usize,
    pub has_result: bool,
    pub is_completed: bool,
}

/// Why a stored session cannot be used.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct SessionProblem(#[from] RestoreError);

impl SessionProblem {
    /// Whether its content is wrong. Otherwise another version of the program, or another time, may read it.
    pub fn is_damage(&self) -> bool {
        self.0.is_damage()
    }
}

/// A data directory cannot be used by a tool.
#[derive(Debug, Error)]
pub enum DataFolderError {
    #[error("{0} is not a data directory of pointstream")]
    Missing(PathBuf),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("the figures of the data directory cannot be kept: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl DataFolder {
    /// Opens a data directory, and locks it against servers.
    ///
    /// # Errors
    /// [`DataFolderError`] if there is none, or a server uses it.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        if !DataDir::is_at(path) {
            return Err(DataFolderError::Missing(path.to_owned()));
        }
        let disk = Metrics::new()?.disk.clone();
        let durability = Durability::Sync;
        let data_dir = DataDir::open(path, DiskLimits::NONE, disk, durability)?;
        let sessions = data_dir.sessions().to_owned();
        let blobs: Arc<dyn Blobs> = Arc::new(data_dir);
        Ok(Self {
            journals: Journals::new(sessions.clone(), durability, blobs.clone()),
            path: path.to_owned(),
            sessions,
            blobs,
        })
    }

    /// The sessions, in the order of their identifiers.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn sessions(&self) -> io::Result<Vec<SessionId>> {
        let mut found = self.journals.sessions()?;
        found.sort_unstable();
        Ok(found)
    }

    /// Folders of sessions that could not be restored.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn damaged(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.sessions)? {
            let path = entry?.path();
            found.extend(
                Some(path).filter(|path| path.extension().is_some_and(|of| of == "damaged")),
            );
        }
        Ok(found)
    }

    /// Reads a session and checks its files. `None` if it has ended or was never created: the next server
    /// removes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, session: SessionId) -> Result<Option<StoredSession>, SessionProblem> {
        let ledger = check(&self.journals, self.blobs.as_ref(), session)?;
        Ok(ledger.map(|ledger| StoredSession {
            id: session,
            created_at: ledger.created_at(),
            images: ledger.image_count(),
            requests: ledger.requests().len(),
            has_result: ledger.result().is_some(),
            is_completed: ledger.is_completed(),
        }))
    }

    /// Checks the outbox of webhooks, and counts its messages. `None` if there is none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_outbox(&self) -> Result<Option<OutboxCounts>, OutboxError> {
        outbox::check(&self.path)
    }

    /// A session is added from elsewhere. What the outbox of webhooks has of one with this identifier is
    /// forgotten, so that the session is not taken for one that has ended.
    ///
    /// # Errors
    /// If the outbox cannot be used.
    pub fn forget_webhooks(&self, session: SessionId) -> Result<(), OutboxError> {
        outbox::forget(&self.path, session)
    }

    /// The folder with the folders of the sessions.
    pub fn sessions_folder(&self) -> &Path {
        &self.sessions
    }

    /// The folder with the files of a session.
    pub fn folder(&self, session: SessionId) -> PathBuf {
        self.sessions.join(session.to_string())
    }
}
