//! `pointstream data`: looks after a data directory that no server uses.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use clap::{Args, Subcommand};
use pointstream_actors::{
    DataFolder, DataFolderError, OutboxCounts, OutboxError, SessionId, SessionProblem,
    StoredSession,
};
use thiserror::Error;

use crate::logging::LogOptions;

/// The end of the names of folders into which archives are unpacked.
const UNFINISHED: &str = ".import";

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
    /// The exit status is 1 if a session is damaged, or cannot be read by this version.
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
    #[error("{0} of the sessions cannot be read now")]
    Unreadable(usize),
    #[error("the session {session} cannot be used: {problem}")]
    Session {
        session: SessionId,
        problem: SessionProblem,
    },
    #[error("the session {0} has ended")]
    Over(SessionId),
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
    let (mut damaged, mut unreadable) = (0, 0);
    for session in folder.sessions().map_err(at(data_dir))? {
        match folder.check(session) {
            Ok(Some(stored)) => say(&describe(&stored)),
            Ok(None) => say(&format!(
                "{session}: has ended; the next server removes its files"
            )),
            Err(problem) if problem.is_damage() => {
                damaged += 1;
                say(&format!("{session}: damaged: {problem}"));
            }
            Err(problem) => {
                unreadable += 1;
                say(&format!("{session}: {problem}"));
            }
        }
    }
    for path in folder.damaged().map_err(at(data_dir))? {
        damaged += 1;
        say(&format!("{}: set aside by a server", path.display()));
    }
    let sessions = folder.sessions_folder();
    for path in unfinished(sessions).map_err(at(sessions))? {
        say(&format!(
            "{}: left by an import that was cut off; the next import removes it",
            path.display()
        ));
    }
    if let Some(outbox) = folder.check_outbox()? {
        let OutboxCounts { waiting, finished } = outbox;
        say(&format!(
            "webhooks: {waiting} messages wait, {finished} are delivered or given up"
        ));
    }
    match (damaged, unreadable) {
        (0, 0) => Ok(()),
        (0, unreadable) => Err(DataError::Unreadable(unreadable)),
        (damaged, _) => Err(DataError::Damaged(damaged)),
    }
}

/// Checks a session that is to go on elsewhere.
fn sound(folder: &DataFolder, session: SessionId) -> Result<StoredSession, DataError> {
    let stored = folder.check(session);
    let stored = stored.map_err(|problem| DataError::Session { session, problem })?;
    stored.ok_or(DataError::Over(session))
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
    sound(&folder, session)?;
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
    let sessions = folder.sessions_folder();
    for path in unfinished(sessions).map_err(at(sessions))? {
        fs::remove_dir_all(&path).map_err(at(&path))?;
    }
    unpack(archive, session, sessions)?;
    let kept = sound(&folder, session).and_then(|stored| {
        // A session of this name may have been here before.
        folder.forget_webhooks(session)?;
        Ok(stored)
    });
    match kept {
        Ok(stored) => {
            say(&describe(&stored));
            Ok(())
        }
        Err(problem) => {
            fs::remove_dir_all(&target).map_err(at(&target))?;
            Err(problem)
        }
    }
}

/// Unpacks an archive of one session into the folder of the sessions: whole and on the disk, or not at all.
fn unpack(archive: &Path, session: SessionId, sessions: &Path) -> Result<(), DataError> {
    // No server looks into it.
    let staging = tempfile::Builder::new()
        .prefix(&format!("{session}."))
        .suffix(UNFINISHED)
        .tempdir_in(sessions)
        .map_err(at(sessions))?;
    let file = File::open(archive).map_err(at(archive))?;
    tar::Archive::new(BufReader::new(file))
        .unpack(staging.path())
        .map_err(at(archive))?;
    let unpacked = staging.path().join(session.to_string());
    let moved = sync(&unpacked)
        .and_then(|()| fs::rename(&unpacked, sessions.join(session.to_string())))
        .and_then(|()| File::open(sessions)?.sync_all());
    moved.map_err(at(sessions))
}

/// Waits until a folder and its files are on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(folder)?.sync_all()
}

/// What is left of imports that were cut off.
fn unfinished(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let entries: io::Result<Vec<_>> = entries.collect();
    let is_unfinished = |path: &PathBuf| path.to_string_lossy().ends_with(UNFINISHED);
    Ok(entries?.into_iter().filter(is_unfinished).collect())
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
