//! The file of the outbox: a SQLite database with who is told of which session, and with the messages.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Transaction};

use super::error::OutboxError;
use crate::journal::Durability;
use crate::sqlite;

/// The name of the file, in the data directory.
pub(crate) const OUTBOX: &str = "webhooks.sqlite";

/// Version of the tables.
const FORMAT: i64 = 1;

/// `through` is the last request of the session whose answer was taken in, and `ended` says whether its
/// end was. So an event that is offered again is known, also after its message was removed.
const TABLES: &str = "
    CREATE TABLE subscriptions (
        session TEXT NOT NULL,
        receiver TEXT NOT NULL,
        owner TEXT NOT NULL,
        url TEXT,
        host TEXT,
        secret BLOB,
        events TEXT NOT NULL,
        through INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        gone INTEGER NOT NULL,
        PRIMARY KEY (session, receiver)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        session TEXT NOT NULL,
        receiver TEXT NOT NULL,
        owner TEXT NOT NULL,
        host TEXT NOT NULL,
        message TEXT NOT NULL,
        event TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL,
        created INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        due INTEGER NOT NULL,
        last_at INTEGER,
        last_status INTEGER,
        last_error TEXT,
        UNIQUE (message, receiver)
    ) STRICT;
    CREATE INDEX waiting_by_host ON deliveries (host, due) WHERE state = 'waiting';
    CREATE INDEX waiting_by_owner ON deliveries (owner, number) WHERE state = 'waiting';
    CREATE INDEX finished ON deliveries (number) WHERE state <> 'waiting';
    CREATE INDEX by_session ON deliveries (session, receiver);
";

/// The open file. All methods block.
#[derive(Debug)]
pub(crate) struct OutboxFile {
    connection: Connection,
}

impl OutboxFile {
    /// Opens the file, and creates it if it is not there. It has secrets, so it is for this user alone.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, OutboxError> {
        let fail = |source: io::Error| OutboxError::File {
            path: path.to_owned(),
            source,
        };
        // SQLite gives the files beside it the same mode.
        let mut private = OpenOptions::new();
        private.write(true).create(true).truncate(false).mode(0o600);
        private.open(path).map_err(fail)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        sqlite::configure(&connection, durability)?;
        // What is removed, such as secrets, leaves no trace.
        connection.pragma_update(None, "secure_delete", true)?;
        let transaction = connection.transaction()?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
            FORMAT => {}
            0 => {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
            }
            found => {
                return Err(OutboxError::Format {
                    found,
                    known: FORMAT,
                });
            }
        }
        transaction.commit()?;
        Ok(Self { connection })
    }

    /// Begins a transaction, which is undone unless it is committed.
    pub fn begin(&mut self) -> Result<Transaction<'_>, OutboxError> {
        Ok(self.connection.transaction()?)
    }

    /// Looks for damage.
    pub fn check(&self) -> Result<(), OutboxError> {
        let found: String = self
            .connection
            .pragma_query_value(None, "quick_check", |row| row.get(0))?;
        match found.as_str() {
            "ok" => Ok(()),
            _ => Err(OutboxError::Damaged(found)),
        }
    }
}

/// The opposite of [`sqlite::milliseconds`].
pub(super) fn time(milliseconds: i64) -> SystemTime {
    let since = u64::try_from(milliseconds).unwrap_or(0);
    UNIX_EPOCH + Duration::from_millis(since)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::error_code::ErrorCode;

    #[test]
    fn the_file_is_for_this_user_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(OUTBOX);
        let file = OutboxFile::open(&path, Durability::Sync).expect("usable");
        for entry in fs::read_dir(folder.path()).expect("there") {
            let entry = entry.expect("there");
            let mode = entry.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        }
        file.check().expect("sound");
        drop(file);
        OutboxFile::open(&path, Durability::None).expect("usable again");
    }

    #[test]
    fn another_format_and_damage_are_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(OUTBOX);
        let connection = Connection::open(&path).expect("created");
        connection
            .pragma_update(None, "user_version", 7)
            .expect("set");
        drop(connection);
        let error = OutboxFile::open(&path, Durability::Sync).expect_err("unknown");
        assert!(error.to_string().contains("format 7"), "{error}");
        assert!(!error.is_damage());
        fs::write(&path, "this is no database, however long it may be").expect("written");
        let error = OutboxFile::open(&path, Durability::Sync).expect_err("damaged");
        assert!(error.is_damage(), "{error}");
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(OUTBOX);
        let file = OutboxFile::open(&path, Durability::None).expect("usable");
        let pages = "PRAGMA max_page_count = 1; CREATE TABLE more (a BLOB);";
        let error = file.connection.execute_batch(pages).expect_err("no room");
        assert_eq!(OutboxError::from(error).code(), ErrorCode::DiskFull);
    }
}
