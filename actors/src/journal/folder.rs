//! The journals below a data directory.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::JournalError;
use super::file::{Durability, JournalFile, Records};
use super::place::{JournalPlace, OpenJournal};
use crate::ids::SessionId;
use crate::session::ledger::Record;

/// The file of a session's journal, in the session's folder.
pub(crate) const JOURNAL: &str = "journal.sqlite";

/// The journals below a data directory: each is a file in the folder of its session.
#[derive(Debug)]
pub(super) struct JournalFolder {
    sessions: PathBuf,
    durability: Durability,
}

impl JournalFolder {
    /// `sessions` is the folder with the folders of the sessions.
    pub fn new(sessions: PathBuf, durability: Durability) -> Self {
        Self {
            sessions,
            durability,
        }
    }

    fn path(&self, session: SessionId) -> PathBuf {
        self.sessions.join(session.to_string()).join(JOURNAL)
    }
}

impl JournalPlace for JournalFolder {
    fn create(
        &self,
        session: SessionId,
        first: &Record,
    ) -> Result<Box<dyn OpenJournal>, JournalError> {
        let mut file = JournalFile::create(&self.path(session), self.durability)?;
        file.append([first])?;
        Ok(Box::new(file))
    }

    fn open(&self, session: SessionId) -> Result<(Box<dyn OpenJournal>, Records), JournalError> {
        let path = self.path(session);
        if !path.try_exists()? {
            return Err(JournalError::NoBeginning);
        }
        let (file, records) = JournalFile::open(&path, self.durability)?;
        Ok((Box::new(file), records))
    }

    fn is_bare(&self, session: SessionId) -> io::Result<bool> {
        for entry in fs::read_dir(self.sessions.join(session.to_string()))? {
            if !entry?.file_name().to_string_lossy().starts_with(JOURNAL) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sessions(&self) -> io::Result<Vec<SessionId>> {
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
}
