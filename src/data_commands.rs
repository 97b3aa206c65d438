//! `pointstream data`: looks after a data directory that no server uses.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use clap::{Args, Subcommand};
use pointstream_actors::{
    DataFolder, DataFolderError, OutboxCounts, OutboxError, SessionId, StoredSession,
};
use thiserror::Error;

use crate::logging::LogOptions;

/// The options of `pointstream data`.
#[derive(Debug, Args)]
#[command(mut_args(|option| option.global(true).help_heading("Log")))]
pub struct DataOptions {
    #[command(flatten)]
    pub log: LogOptions,

    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Reads all sessions of a data directory and checks their files.
    ///
    /// The exit status is 1 if a session is damaged.
    Check {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Writes a session to a tar archive.
    Export {
        /// The data directory.
        data_dir: PathBuf,
        /// Identifier of the session.
        session: SessionId,
        /// The archive to write; it must not exist.
        archive: PathBuf,
    },
    /// Adds the session of a tar archive to a data directory.
    Import {
        /// The data directory.
        data_dir: PathBuf,
        /// The archive that `export` wrote.
        archive: PathBuf,
    },
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum DataError {
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error("{path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} of the sessions are damaged")]
    Damaged(usize),
    #[error("the session {session} is damaged: {problem}")]
    Session { session: SessionId, problem: String },
    #[error("the session {0} is there already")]
    Exists(SessionId),
    #[error("{0} is not the archive of one session: {1}")]
    Archive(PathBuf, &'static str),
}

/// Runs a command. Blocks.
pub fn run(options: DataOptions) -> Result<(), DataError> {
    match options.command {
        DataCommand::Check { data_dir } => check(&data_dir),
        DataCommand::Export {
            data_dir,
            session,
            archive,
        } => export(&data_dir, session, &archive),
        DataCommand::Import { data_dir, archive } => import(&data_dir, &archive),
    }
}

fn check(data_dir: &Path) -> Result<(), DataError> {
    let folder = DataFolder::open(data_dir)?;
    let mut damaged = 0;
    for session in folder.sessions().map_err(at(data_dir))? {
        match folder.check(session) {
            Ok(stored) => say(&describe(&stored)),
            Err(problem) => {
                damaged += 1;
                say(&format!("{session}: damaged: {problem}"));
            }
        }
    }
    for path in folder.damaged().map_err(at(data_dir))? {
        damaged += 1;
        say(&format!("{}: set aside by a server", path.display()));
    }
    if let Some(outbox) = folder.check_outbox()? {
        let OutboxCounts { waiting, finished } = outbox;
        say(&format!(
            "webhooks: {waiting} messages wait, {finished} are delivered or given up"
        ));
    }
    match damaged {
        0 => Ok(()),
        damaged => Err(DataError::Damaged(damaged)),
    }
}

fn describe(stored: &StoredSession) -> String {
    let result = match (stored.has_result, stored.is_completed) {
        (_, true) => "completed",
        (true, false) => "with a result",
        (false, false) => "without a result",
    };
    let StoredSession {
        id,
        images,
        requests,
        ..
    } = stored;
    format!("{id}: {images} images, {result}, {requests} requests wait")
}

fn export(data_dir: &Path, session: SessionId, archive: &Path) -> Result<(), DataError> {
    let folder = DataFolder::open(data_dir)?;
    let problem = |problem| DataError::Session { session, problem };
    folder.check(session).map_err(problem)?;
    let fail = at(archive);
    // For this user alone, as the data directory is.
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let file = options.open(archive).map_err(&fail)?;
    let written = write_archive(file, session, &folder.folder(session));
    if written.is_err() {
        // The error of writing says more than one of removing.
        let _ = fs::remove_file(archive);
    }
    written.map_err(&fail)
}

fn write_archive(file: File, session: SessionId, folder: &Path) -> io::Result<()> {
    let mut archive = tar::Builder::new(BufWriter::new(file));
    archive.append_dir_all(session.to_string(), folder)?;
    let file = archive.into_inner()?.into_inner()?;
    file.sync_all()
}

fn import(data_dir: &Path, archive: &Path) -> Result<(), DataError> {
    let folder = DataFolder::open(data_dir)?;
    let session = session_of(archive)?;
    let target = folder.folder(session);
    if target.exists() {
        return Err(DataError::Exists(session));
    }
    let sessions = target.parent().unwrap_or(data_dir);
    let file = File::open(archive).map_err(at(archive))?;
    let unpacked = tar::Archive::new(BufReader::new(file)).unpack(sessions);
    let checked = unpacked.map_err(|error| error.to_string());
    let checked = checked.and_then(|()| folder.check(session));
    match checked {
        Ok(stored) => {
            // A session of this name may have been here before.
            folder.forget_webhooks(session)?;
            say(&describe(&stored));
            Ok(())
        }
        Err(problem) => match fs::remove_dir_all(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&target)(error)),
            _ => Err(DataError::Session { session, problem }),
        },
    }
}

/// The session of an archive, which has nothing but the files of its folder.
fn session_of(archive: &Path) -> Result<SessionId, DataError> {
    let fail = at(archive);
    let refuse = |why| DataError::Archive(archive.to_owned(), why);
    let file = File::open(archive).map_err(&fail)?;
    let mut reader = tar::Archive::new(BufReader::new(file));
    let mut found = None;
    for entry in reader.entries().map_err(&fail)? {
        let entry = entry.map_err(&fail)?;
        let path = entry.path().map_err(&fail)?;
        let mut parts = path.components();
        let Some(Component::Normal(name)) = parts.next() else {
            return Err(refuse("a name in it has no folder"));
        };
        // The server knows the folder under one spelling of the identifier only.
        let session = name.to_str().and_then(|name| {
            let session = SessionId::try_parse(name).ok()?;
            (session.to_string() == name).then_some(session)
        });
        let session = session.ok_or_else(|| refuse("a folder in it is not a session's"))?;
        if *found.get_or_insert(session) != session {
            return Err(refuse("it has several sessions"));
        }
        let kind = entry.header().entry_type();
        let depth = parts.clone().count();
        let plain = parts.all(|part| matches!(part, Component::Normal(_)));
        // A link in place of the folder would lead its files elsewhere.
        let fits = match depth {
            0 => kind.is_dir(),
            1 => kind.is_file(),
            _ => false,
        };
        if !plain || !fits {
            return Err(refuse("it has something other than files"));
        }
    }
    found.ok_or_else(|| refuse("it is empty"))
}

fn at(path: &Path) -> impl Fn(io::Error) -> DataError {
    let path = path.to_owned();
    move |source| DataError::Io {
        path: path.clone(),
        source,
    }
}

/// Writes a line to stdout. A closed pipe is not a failure.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod fuzz;
