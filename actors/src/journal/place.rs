//! Where journals are kept.

use std::fmt::Debug;
use std::io;

use super::{JournalError, Records, Told};
use crate::ids::SessionId;
use crate::session::ledger::Record;

/// Where the journals of sessions are kept. All methods block.
pub(crate) trait JournalPlace: Send + Sync + Debug {
    /// Creates the journal of a new session with its first record.
    fn create(
        &self,
        session: SessionId,
        first: &Record,
    ) -> Result<Box<dyn OpenJournal>, JournalError>;

    /// Reads the journal of a session of an earlier process, to go on with it.
    fn open(&self, session: SessionId) -> Result<(Box<dyn OpenJournal>, Records), JournalError>;

    /// Whether a session has no files but a journal.
    fn is_bare(&self, session: SessionId) -> io::Result<bool>;

    /// The sessions of earlier processes that this one has to go on with.
    fn sessions(&self) -> io::Result<Vec<SessionId>>;
}

/// The open journal of a session. All methods block.
pub(crate) trait OpenJournal: Send + Debug {
    /// Adds records: all of them, or none if it fails. Removes those that are needless then.
    fn append(&mut self, records: &[&Record]) -> Result<(), JournalError>;

    /// Keeps the answers of which receivers of webhooks have to be told yet.
    fn keep_untold(&mut self, told: Told);
}
