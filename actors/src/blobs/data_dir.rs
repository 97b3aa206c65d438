//! Blobs as files below the data directory.
//!
//! ```text
//! <data dir>/pointstream-data                   marks the folder as one of the program's, with its format
//! <data dir>/lock                               held while a system runs
//! <data dir>/webhooks.sqlite                    messages of webhooks, and to whom they go
//! <data dir>/sessions/<id>/journal.sqlite       what has happened in the session
//! <data dir>/sessions/<id>/1.image              an image as the client sent it
//! <data dir>/sessions/<id>/1.rgb                the same, oriented and resized: RGB, hidden pixels
//! <data dir>/sessions/<id>/<uuid>.safetensors   a prediction, until its point cloud is made
//! <data dir>/sessions/<id>/2.glb                the newest result
//! <data dir>/sessions/<id>/2.npz                the data of its other formats, and one of them
//! <data dir>/sessions/<id>/2.ply                another format, written on request
//! <data dir>/sessions/<id>/2.ply.part           a file while it is written
//! <data dir>/sessions/<id>.removed              the folder of an ended session, until it is removed
//! <data dir>/sessions/<id>.damaged              a session that cannot be restored, for the operator
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::{BlobKey, BlobName, BlobView, Blobs, DiskAccount, DiskLimits, Draft};
use crate::ids::SessionId;
use crate::journal::{Durability, JOURNAL};
use crate::metrics::DiskMetrics;

/// A file that marks a folder as a data directory.
const MARKER: &str = "pointstream-data";
/// Format of the directory, in the marker. Empty for versions whose sessions did not last.
const FORMAT: &str = "1";
const LOCK: &str = "lock";
const SESSIONS: &str = "sessions";
/// Threads that read files for clients at the same time.
const READERS: usize = 16;

/// A data directory that this process owns.
#[derive(Debug)]
pub(crate) struct DataDir {
    sessions: PathBuf,
    disk: DiskAccount,
    durability: Durability,
    readers: Arc<Semaphore>,
    /// Keeps the lock until the system ends.
    _lock: File,
}

/// The files of a session.
struct Survey {
    /// Bytes of those that belong to it.
    used: u64,
    /// Files that do not.
    unknown: Vec<PathBuf>,
}

/// The data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    #[error("the data directory {path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Another process has locked it.
    #[error("the data directory {0} is in use by another server; choose another one")]
    InUse(PathBuf),
    /// The folder has files of somebody else, which the program would remove or overwrite.
    #[error(
        "the data directory {0} is not empty and is not one of pointstream; choose an empty or a new \
         folder"
    )]
    Foreign(PathBuf),
    /// They would be lost to their clients.
    #[error(
        "{0} has sessions of a server that did not share them; choose another data directory, or start \
         without --gateway-url until they have ended"
    )]
    HasSessions(PathBuf),
    /// Another version of the program has written it.
    #[error(
        "the data directory {path} has format {found:?}, and this version of the program reads format \
         {FORMAT:?}; use the version that wrote it, or a newer one, or another folder"
    )]
    Format { path: PathBuf, found: String },
}

impl DataDir {
    /// Locks the directory, and creates it if necessary. The sessions of an earlier run stay, but for
    /// those that were being removed.
    pub fn open(
        path: &Path,
        limits: DiskLimits,
        metrics: DiskMetrics,
        durability: Durability,
    ) -> Result<Self, DataDirError> {
        let fail = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(fail)?;
        let marker = path.join(MARKER);
        if !marker.exists() && has_foreign_files(path).map_err(fail)? {
            return Err(DataDirError::Foreign(path.to_owned()));
        }
        let lock = File::create(path.join(LOCK)).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        // After the lock: another server may have been about to mark it.
        let sessions = path.join(SESSIONS);
        let found = ignore_missing_text(fs::read_to_string(&marker)).map_err(fail)?;
        match found.trim() {
            FORMAT => {}
            "" => {
                // Sessions did not last then. Those with a journal are of this format: the machine has
                // lost power before the marker was written.
                if !has_journals(&sessions).map_err(fail)? {
                    let removed = ignore_missing(fs::remove_dir_all(&sessions));
                    removed.map_err(fail)?;
                }
                write_marker(path, &marker).map_err(fail)?;
            }
            other => {
                return Err(DataDirError::Format {
                    path: path.to_owned(),
                    found: other.to_owned(),
                });
            }
        }
        // Images are not for other users of the machine.
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(&sessions).map_err(fail)?;
        let data_dir = Self {
            disk: DiskAccount::new(sessions.clone(), limits, metrics),
            durability,
            readers: Arc::new(Semaphore::new(READERS)),
            sessions,
            _lock: lock,
        };
        data_dir.finish_removals().map_err(fail)?;
        data_dir.sync_folder(path).map_err(fail)?;
        Ok(data_dir)
    }

    /// Removes the copies that an earlier process had of files of shared sessions.
    ///
    /// # Errors
    /// [`DataDirError::HasSessions`] if there are sessions that are nowhere else.
    pub fn remove_copies(&self) -> Result<(), DataDirError> {
        let fail = |source| DataDirError::Io {
            path: self.sessions.clone(),
            source,
        };
        if has_journals(&self.sessions).map_err(fail)? {
            return Err(DataDirError::HasSessions(self.sessions.clone()));
        }
        for entry in fs::read_dir(&self.sessions).map_err(fail)? {
            fs::remove_dir_all(entry.map_err(fail)?.path()).map_err(fail)?;
        }
        Ok(())
    }

    /// Whether there is a data directory at a path.
    pub fn is_at(path: &Path) -> bool {
        path.join(MARKER).exists()
    }

    /// The folder with the folders of the sessions.
    pub fn sessions(&self) -> &Path {
        &self.sessions
    }

    /// Looks at the files of a session, which must have these blobs.
    fn survey(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<Survey> {
        let mut missing: BTreeMap<String, Option<u64>> = blobs
            .iter()
            .map(|(name, size)| (name.to_string(), *size))
            .collect();
        let (mut used, mut unknown) = (0, Vec::new());
        for entry in fs::read_dir(self.folder(session))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Work of a session that has failed may remove a file that it was writing.
            let found = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found?.len(),
            };
            match missing.remove(&name) {
                Some(Some(size)) if size != found => {
                    let problem = format!("{name} has {found} bytes instead of {size}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                Some(_) => used += found,
                None if name.starts_with(JOURNAL) => used += found,
                None => unknown.push(entry.path()),
            }
        }
        match missing.keys().next() {
            Some(name) => {
                let problem = format!("{name} is missing");
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            }
            None => Ok(Survey { used, unknown }),
        }
    }

    /// Removes the sessions whose removal an earlier run has begun.
    fn finish_removals(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.sessions)? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "removed") {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// A file that was found has lost a name.
    fn unlinked(&self, found: &Option<Metadata>) {
        if let Some(found) = found {
            self.disk.unlinked(found);
        }
    }

    /// Makes the names of a folder's files durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match self.durability {
            Durability::Sync => File::open(folder)?.sync_all(),
            Durability::None => Ok(()),
        }
    }

    fn folder(&self, session: SessionId) -> PathBuf {
        self.sessions.join(session.to_string())
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.folder(key.session).join(key.name.to_string())
    }
}

impl Blobs for DataDir {
    fn create_session(&self, session: SessionId) -> io::Result<()> {
        fs::create_dir(self.folder(session))?;
        self.sync_folder(&self.sessions)
    }

    fn charge(&self, session: SessionId, creator: Option<Arc<str>>) {
        self.disk.charge(session, creator);
    }

    fn sync(&self, session: SessionId, names: &[BlobName]) -> io::Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        for name in names {
            let file = File::open(self.path(&BlobKey {
                session,
                name: *name,
            }));
            match file.and_then(|file| file.sync_data()) {
                // Something that is no file has nothing to make durable.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                // Images stay as long as their session. Others may have been replaced already.
                synced if matches!(name, BlobName::Original(_) | BlobName::Prepared(_)) => synced?,
                synced => ignore_missing(synced)?,
            }
        }
        self.sync_folder(&self.folder(session))
    }

    fn check_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()> {
        self.survey(session, blobs).map(drop)
    }

    fn restore_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()> {
        let Survey { used, unknown } = self.survey(session, blobs)?;
        for path in unknown {
            ignore_missing(fs::remove_file(path))?;
        }
        self.disk.restored(session, used);
        Ok(())
    }

    fn set_aside(&self, session: SessionId) -> io::Result<PathBuf> {
        let folder = self.folder(session);
        let aside = folder.with_extension("damaged");
        fs::rename(&folder, &aside)?;
        self.disk.forget(session);
        Ok(aside)
    }

    fn draft(&self, key: &BlobKey) -> io::Result<Draft> {
        let mut path = self.path(key).into_os_string();
        path.push(".part");
        let path = PathBuf::from(path);
        let file = File::create(&path)?;
        Ok(Draft {
            key: *key,
            file,
            path: TempPath::try_from_path(path)?,
        })
    }

    fn put(&self, draft: Draft) -> io::Result<()> {
        let Draft { key, file, path } = draft;
        let target = self.path(&key);
        let found = fs::metadata(&target).ok();
        let (old, new) = (length(&found), file.metadata()?.len());
        self.disk.replace(key.session, old, new)?;
        if let Err(error) = path.persist(target) {
            self.disk.replace(key.session, new, old)?;
            return Err(error.into());
        }
        self.unlinked(&found);
        Ok(())
    }

    fn link(&self, from: &BlobKey, to: &BlobKey) -> io::Result<()> {
        let (source, target) = (self.path(from), self.path(to));
        let size = fs::metadata(&source)?.len();
        self.remove(to)?;
        self.disk.replace(to.session, 0, size)?;
        if let Err(error) = fs::hard_link(source, target) {
            self.disk.replace(to.session, size, 0)?;
            return Err(error);
        }
        Ok(())
    }

    fn get(&self, key: &BlobKey) -> io::Result<Vec<u8>> {
        fs::read(self.path(key))
    }

    fn view(&self, key: &BlobKey) -> io::Result<BlobView> {
        let file = File::open(self.path(key))?;
        BlobView::of_file(file, self.readers.clone(), |found| {
            Some(self.disk.opened(key.session, found))
        })
    }

    fn remove(&self, key: &BlobKey) -> io::Result<()> {
        let path = self.path(key);
        let found = fs::metadata(&path).ok();
        ignore_missing(fs::remove_file(path))?;
        self.unlinked(&found);
        self.disk.replace(key.session, length(&found), 0)
    }

    fn remove_session(&self, session: SessionId) -> io::Result<()> {
        let folder = self.folder(session);
        let removed = folder.with_extension("removed");
        // Renamed first, so that work that is still running cannot add files to it. An earlier
        // attempt may have renamed it already.
        ignore_missing(fs::rename(&folder, &removed))?;
        self.sync_folder(&self.sessions)?;
        // If it is not there, an earlier attempt has removed it.
        let files = fs::read_dir(&removed).into_iter().flatten().flatten();
        let found: Vec<_> = files.map(|entry| entry.metadata().ok()).collect();
        ignore_missing(fs::remove_dir_all(&removed))?;
        self.disk.forget(session);
        found.iter().for_each(|found| self.unlinked(found));
        Ok(())
    }

    fn check_space(&self) -> io::Result<()> {
        self.disk.check_free()
    }

    fn measure_space(&self) -> io::Result<()> {
        self.disk.measure().map(drop)
    }
}

/// Size of a file in bytes, 0 if there is none.
fn length(found: &Option<Metadata>) -> u64 {
    found.as_ref().map_or(0, Metadata::len)
}

/// Whether a folder without the marker has anything but the lock of a server that starts.
fn has_foreign_files(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        if entry?.file_name() != LOCK {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a session there has a journal.
fn has_journals(sessions: &Path) -> io::Result<bool> {
    if !sessions.try_exists()? {
        return Ok(false);
    }
    for entry in fs::read_dir(sessions)? {
        if entry?.path().join(JOURNAL).try_exists()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Marks the directory with its format, durably and at once.
fn write_marker(folder: &Path, marker: &Path) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(FORMAT.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(marker)?;
    File::open(folder)?.sync_all()?;
    // A new folder has to be found, too.
    folder.parent().map_or(Ok(()), |above| {
        let here = above.as_os_str().is_empty();
        let above = if here { Path::new(".") } else { above };
        File::open(above).and_then(|above| above.sync_all())
    })
}

/// The text of a file; empty if there is none.
fn ignore_missing_text(result: io::Result<String>) -> io::Result<String> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        result => result,
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
