//! The file of a journal: a SQLite database with one row per record, but for those that later ones make
//! needless.
//!
//! SQLite writes a transaction wholly or not at all, also if the machine loses power: its tests simulate
//! crashes and failing disks (<https://www.sqlite.org/testing.html>).

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, params};

use super::answered::Answered;
use super::told::Told;
use super::{JournalError, OpenJournal};
use crate::session::ledger::Record;
use crate::sqlite;

/// Version of the table and of the records. A newer program reads what an older one wrote: new fields of
/// records have defaults.
const FORMAT: i64 = 1;

/// What an acknowledgement survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Durability {
    /// The end of the program, and of the machine: what is written is on the disk.
    Sync,
    /// The end of the program. What the system has not yet written to the disk is lost with the machine.
    None,
}

/// The records of a journal.
#[derive(Debug)]
pub(crate) struct Records {
    /// In their order.
    pub all: Vec<Recorded>,
}

/// A record, the number of its row, and when it was written.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub record: Record,
    pub number: u64,
    pub at: SystemTime,
}

/// An open journal. All methods block.
#[derive(Debug)]
pub(crate) struct JournalFile {
    connection: Connection,
    /// Number of the last row.
    last: u64,
    answered: Answered,
    /// The answers that receivers of webhooks need no more.
    told: Told,
}

impl JournalFile {
    /// Creates the journal of a new session.
    pub fn create(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = connect(path, flags, durability)?;
        connection.execute_batch(
            "CREATE TABLE records (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, \
             content BLOB NOT NULL) STRICT",
        )?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        Ok(Self {
            connection,
            last: 0,
            answered: Answered::default(),
            told: Told::default(),
        })
    }

    /// Opens a journal, and reads its records.
    pub fn open(path: &Path, durability: Durability) -> Result<(Self, Records), JournalError> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, durability)?;
        let records = read(&connection)?;
        let mut answered = Answered::default();
        for recorded in &records.all {
            answered.note(recorded.number, &recorded.record);
        }
        let last = records.all.last().map_or(0, |recorded| recorded.number);
        let file = Self {
            connection,
            last,
            answered,
            told: Told::default(),
        };
        Ok((file, records))
    }

    /// Adds records: all of them, or none if it fails. Removes those that are needless then.
    pub fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<(), JournalError> {
        let transaction = self.connection.transaction()?;
        let (mut last, mut answered) = (self.last, self.answered.clone());
        let at = sqlite::milliseconds(SystemTime::now());
        {
            let mut insert = transaction
                .prepare("INSERT INTO records (number, at, content) VALUES (?1, ?2, ?3)")?;
            for record in records {
                last += 1;
                insert.execute(params![last, at, rmp_serde::to_vec_named(record)?])?;
                answered.note(last, record);
            }
            let mut delete = transaction.prepare("DELETE FROM records WHERE number = ?1")?;
            for number in answered.take_needless(&self.told).into_iter().flatten() {
                delete.execute([number])?;
            }
        }
        transaction.commit()?;
        self.last = last;
        self.answered = answered;
        Ok(())
    }
}

impl OpenJournal for JournalFile {
    fn append(&mut self, records: &[&Record]) -> Result<(), JournalError> {
        Self::append(self, records.iter().copied())
    }

    fn keep_untold(&mut self, told: Told) {
        self.told = told;
    }
}

fn connect(
    path: &Path,
    flags: OpenFlags,
    durability: Durability,
) -> Result<Connection, JournalError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    sqlite::configure(&connection, durability)?;
    Ok(connection)
}

fn read(connection: &Connection) -> Result<Records, JournalError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        // The program ended before the first record.
        return Err(JournalError::NoBeginning);
    }
    if found != FORMAT {
        return Err(JournalError::Format {
            found,
            known: FORMAT,
        });
    }
    let mut select =
        connection.prepare("SELECT number, at, content FROM records ORDER BY number")?;
    let mut rows = select.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        let at = UNIX_EPOCH + Duration::from_millis(row.get(1)?);
        let content = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let record = rmp_serde::from_slice(content)
            .map_err(|source| JournalError::Decode { number, source })?;
        records.push(Recorded { record, number, at });
    }
    Ok(Records { all: records })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SQLite's names are 0 off, 1 normal, 2 full: only with the last one a commit waits for the disk.
    #[test]
    fn a_commit_waits_for_the_disk_if_records_are_to_be_durable() {
        for (durability, expected) in [(Durability::Sync, 2), (Durability::None, 1)] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("journal.sqlite");
            let mut new = JournalFile::create(&path, durability).expect("created");
            check(&new, expected);
            new.append([&Record::SessionKept]).expect("written");
            check(&new, expected);
            drop(new);
            let (found, _) = JournalFile::open(&path, durability).expect("readable");
            check(&found, expected);
        }
    }

    fn check(file: &JournalFile, expected: i64) {
        let synchronous: i64 = pragma(file, "synchronous");
        assert_eq!(synchronous, expected);
        assert_eq!(pragma::<String>(file, "journal_mode"), "wal");
    }

    fn pragma<T: rusqlite::types::FromSql>(file: &JournalFile, name: &str) -> T {
        let value = file
            .connection
            .pragma_query_value(None, name, |row| row.get(0));
        value.expect("a pragma of SQLite")
    }

    #[test]
    fn a_journal_of_a_later_format_says_what_it_needs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal.sqlite");
        let new = JournalFile::create(&path, Durability::None).expect("created");
        new.connection
            .pragma_update(None, "user_version", FORMAT + 1)
            .expect("writable");
        drop(new);
        let error = JournalFile::open(&path, Durability::None).expect_err("it is newer");
        assert_eq!(
            error.to_string(),
            "the session's journal has format 2, and this version of the program reads format 1; use the \
             version that wrote it, or a newer one"
        );
        assert!(!error.is_damage(), "its files stay");
    }
}
