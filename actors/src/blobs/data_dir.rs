//! Blobs as files below the data directory.
//!
//! ```text
//! <data dir>/lock                               held while a system runs
//! <data dir>/sessions/<id>/1.image              an image as the client sent it
//! <data dir>/sessions/<id>/1.rgb                the same, oriented and resized: rows of RGB bytes
//! <data dir>/sessions/<id>/<uuid>.safetensors   a prediction, until its point cloud is made
//! <data dir>/sessions/<id>/2.glb                the newest result
//! <data dir>/sessions/<id>/2.npz                the data of its other formats, and one of them
//! <data dir>/sessions/<id>/2.ply                another format, written on request
//! <data dir>/sessions/<id>/2.ply.part           a file while it is written
//! <data dir>/sessions/<id>.removed              the folder of an ended session, until it is removed
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use memmap2::Mmap;
use tempfile::TempPath;
use thiserror::Error;

use super::{BlobKey, Blobs, Draft};
use crate::ids::SessionId;

/// A data directory that this process owns.
#[derive(Debug)]
pub(crate) struct DataDir {
    sessions: PathBuf,
    /// Keeps the lock until the system ends.
    _lock: File,
}

/// The data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    #[error("the data directory {path} cannot be used: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Another process has locked it.
    #[error("the data directory {0} is in use by another server; choose another one")]
    InUse(PathBuf),
}

impl DataDir {
    /// Locks the directory, creates it if necessary, and removes what an earlier run left.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let fail = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(fail)?;
        let lock = File::create(path.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let sessions = path.join("sessions");
        if sessions.exists() {
            tracing::info!(path = %sessions.display(), "removing the sessions of an earlier run");
            fs::remove_dir_all(&sessions).map_err(fail)?;
        }
        fs::create_dir(&sessions).map_err(fail)?;
        Ok(Self {
            sessions,
            _lock: lock,
        })
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
        fs::create_dir(self.folder(session))
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
        draft.path.persist(self.path(&draft.key))?;
        Ok(())
    }

    fn get(&self, key: &BlobKey) -> io::Result<Vec<u8>> {
        fs::read(self.path(key))
    }

    fn view(&self, key: &BlobKey) -> io::Result<Bytes> {
        let file = File::open(self.path(key))?;
        // SAFETY: the folder is locked by this process, which never writes to a published blob:
        // it removes it or replaces it by another file.
        let view = unsafe { Mmap::map(&file)? };
        Ok(Bytes::from_owner(view))
    }

    fn remove(&self, key: &BlobKey) -> io::Result<()> {
        ignore_missing(fs::remove_file(self.path(key)))
    }

    fn remove_session(&self, session: SessionId) -> io::Result<()> {
        let folder = self.folder(session);
        let removed = folder.with_extension("removed");
        // Renamed first, so that work that is still running cannot add files to it. An earlier
        // attempt may have renamed it already.
        ignore_missing(fs::rename(&folder, &removed))?;
        ignore_missing(fs::remove_dir_all(&removed))
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::blobs::{BlobName, contract};

    #[test]
    fn fulfils_the_contract() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs: Arc<dyn Blobs> = Arc::new(DataDir::open(folder.path()).expect("usable"));
        contract::test(&blobs);
    }

    #[test]
    fn a_dropped_draft_leaves_no_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = DataDir::open(folder.path()).expect("usable");
        let session = SessionId::new_v4();
        blobs.create_session(session).expect("a new session");
        let name = BlobName::Original(1);
        let draft = blobs.draft(&BlobKey { session, name }).expect("a draft");
        let files = || fs::read_dir(blobs.folder(session)).expect("there").count();
        assert_eq!(files(), 1);
        drop(draft);
        assert_eq!(files(), 0);
    }

    #[test]
    fn a_directory_serves_one_system_at_a_time_and_starts_empty() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = DataDir::open(folder.path()).expect("usable");
        let session = SessionId::new_v4();
        first.create_session(session).expect("a new session");
        assert!(matches!(
            DataDir::open(folder.path()),
            Err(DataDirError::InUse(_))
        ));
        drop(first);
        let second = DataDir::open(folder.path()).expect("usable again");
        second
            .create_session(session)
            .expect("nothing is left of it");
    }
}
