//! Writing a journal while its session goes on: records that come while others are written are written
//! together, with one wait for the disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::Instrument;

use super::{JournalError, Journals, OpenJournal};
use crate::blobs::{BlobName, Blobs};
use crate::ids::SessionId;
use crate::mailbox::Mailbox;
use crate::session::ledger::Record;
use crate::session::message::SessionMessage;
use crate::session_event::CloseReason;

/// Records that are written at once.
const MOST_AT_ONCE: usize = 256;
/// Time after which records are tried again that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// The writing end of a session's journal. What was added is written when it is dropped, too.
///
/// The queue has no bound of its own: it holds answers to messages and outcomes of work, and both are
/// bounded.
pub(crate) struct Journal {
    queue: mpsc::UnboundedSender<Entry>,
    /// Number of the last entry.
    last: u64,
}

/// Records on their way to the disk, together.
struct Entry {
    number: u64,
    records: Vec<Record>,
    /// Whether the session's ledger has them already, so that they have to be written before all
    /// others. Else they are given up if they cannot be written.
    holds: bool,
}

impl Journal {
    pub(super) fn start(
        journals: &Journals,
        session: SessionId,
        file: Box<dyn OpenJournal>,
        mailbox: Mailbox<SessionMessage>,
    ) -> Self {
        let (queue, entries) = mpsc::unbounded_channel();
        let writer = Writer {
            journals: journals.clone(),
            session,
            mailbox,
            entries,
            waiting: Vec::new(),
        };
        let task = writer.run(file).in_current_span();
        journals.writers().spawn(task);
        Self { queue, last: 0 }
    }

    /// Adds a record of what holds already. If it cannot be written, it is tried again. Returns the
    /// number that [`SessionMessage::Recorded`] tells.
    pub fn note(&mut self, record: Record) -> u64 {
        self.push(vec![record], true)
    }

    /// Adds records of what holds once they are written. If they cannot be written, they are given up.
    /// Returns the number that [`SessionMessage::Recorded`] tells.
    pub fn propose(&mut self, records: Vec<Record>) -> u64 {
        self.push(records, false)
    }

    /// Number of the last entry.
    pub fn last(&self) -> u64 {
        self.last
    }

    fn push(&mut self, records: Vec<Record>, holds: bool) -> u64 {
        self.last += 1;
        let entry = Entry {
            number: self.last,
            records,
            holds,
        };
        if self.queue.send(entry).is_err() {
            // Only if writing has panicked. The session is told that it has ended.
            tracing::error!("the writer of a session's journal has ended");
        }
        self.last
    }
}

struct Writer {
    journals: Journals,
    session: SessionId,
    mailbox: Mailbox<SessionMessage>,
    entries: mpsc::UnboundedReceiver<Entry>,
    /// The oldest first.
    waiting: Vec<Entry>,
}

impl Writer {
    async fn run(mut self, mut file: Box<dyn OpenJournal>) {
        loop {
            let ended = self.next_entries().await;
            if self.waiting.is_empty() {
                return;
            }
            let entries = std::mem::take(&mut self.waiting);
            let (blobs, session) = (self.journals.blobs().clone(), self.session);
            let work = move || {
                let outcome = write(file.as_mut(), blobs.as_ref(), session, &entries);
                (file, entries, outcome)
            };
            let written = self.journals.pool().run(session, work).await;
            let outcome;
            (file, self.waiting, outcome) = match written {
                Ok(written) => written,
                Err(error) => {
                    tracing::error!(%error, "the journal of a session is not written any more");
                    return self.mailbox.notify(SessionMessage::JournalLost);
                }
            };
            if self.is_removed(&outcome) {
                tracing::debug!(
                    "the files of an ended session are removed before its last records"
                );
                return;
            }
            if let Err(JournalError::Taken) = outcome {
                // Nothing that the session does counts any more.
                return self
                    .mailbox
                    .notify(SessionMessage::Close(CloseReason::Moved));
            }
            if let Err(JournalError::Unknown(_)) = outcome {
                self.report(outcome);
                return self.mailbox.notify(SessionMessage::JournalLost);
            }
            self.report(outcome);
            if ended && !self.waiting.is_empty() {
                tracing::error!("the last records of a session could not be written");
                return;
            }
        }
    }

    /// Whether records cannot be written because the session was removed meanwhile.
    fn is_removed(&self, outcome: &Result<(), JournalError>) -> bool {
        let missing = matches!(
            outcome,
            Err(JournalError::Files(error)) if error.kind() == io::ErrorKind::NotFound
        );
        missing && self.entries.sender_strong_count() == 0
    }

    /// Waits for entries, or until those that failed are due. Returns whether there will be no more.
    async fn next_entries(&mut self) -> bool {
        let room = MOST_AT_ONCE.saturating_sub(self.waiting.len()).max(1);
        if self.waiting.is_empty() {
            return self.entries.recv_many(&mut self.waiting, room).await == 0;
        }
        let more = self.entries.recv_many(&mut self.waiting, room);
        matches!(tokio::time::timeout(RETRY, more).await, Ok(0))
    }

    /// Tells the session what has become of the entries, and keeps those that have to be tried again.
    fn report(&mut self, outcome: Result<(), JournalError>) {
        let Some(through) = self.waiting.last().map(|entry| entry.number) else {
            return;
        };
        match &outcome {
            Ok(()) => self.waiting.clear(),
            Err(error) => {
                tracing::error!(%error, "the journal of a session cannot be written");
                self.waiting.retain(|entry| entry.holds);
            }
        }
        let outcome = outcome.map_err(Arc::new);
        self.mailbox
            .notify(SessionMessage::Recorded { through, outcome });
    }
}

/// Makes the files that the entries rely on durable, then the entries.
fn write(
    file: &mut dyn OpenJournal,
    blobs: &dyn Blobs,
    session: SessionId,
    entries: &[Entry],
) -> Result<(), JournalError> {
    let records = || entries.iter().flat_map(|entry| &entry.records);
    let files: Vec<BlobName> = records().flat_map(Record::files).collect();
    if !files.is_empty() {
        blobs.sync(session, &files)?;
    }
    file.append(&records().collect::<Vec<_>>())
}
