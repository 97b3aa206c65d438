//! Files of sessions: images, predictions and results, each by a key.
//!
//! A blob is written atomically, and changes only when it is replaced atomically.

#[cfg(test)]
pub(crate) mod contract;
mod data_dir;
mod disk;
mod key;
mod view;

pub(crate) use data_dir::DataDir;
pub use data_dir::DataDirError;
pub(crate) use disk::DiskAccount;
pub use disk::{DiskLimits, free_bytes};
pub(crate) use key::{BlobKey, BlobName};
pub use view::{BlobView, Pieces};

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempPath;

use crate::ids::SessionId;

/// Where blobs are kept. All methods block: call them off the async runtime.
pub(crate) trait Blobs: Send + Sync + fmt::Debug {
    /// Prepares to take a session's blobs. Durable, if the store is.
    fn create_session(&self, session: SessionId) -> io::Result<()>;

    /// Counts the space of a session for its creator, if it has one.
    fn charge(&self, session: SessionId, creator: Option<Arc<str>>);

    /// Begins to write a blob. A key has one writer at a time.
    fn draft(&self, key: &BlobKey) -> io::Result<Draft>;

    /// Publishes a draft, and replaces the blob that was there. Fails with
    /// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) or [`StorageFull`](io::ErrorKind::StorageFull)
    /// if there would be too little space.
    fn put(&self, draft: Draft) -> io::Result<()>;

    /// Makes blobs durable, and that they are there. Those that were removed since count as durable.
    fn sync(&self, session: SessionId, names: &[BlobName]) -> io::Result<()>;

    /// Checks that a session of an earlier process has these blobs, with their sizes in bytes as far as they
    /// are known.
    fn check_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()>;

    /// Goes on with a session of an earlier process: [checks](Self::check_session) its blobs, and removes
    /// all others.
    fn restore_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()>;

    /// Keeps the files of a session that cannot be used for the operator. Returns where they are.
    fn set_aside(&self, session: SessionId) -> io::Result<PathBuf>;

    /// Gives a blob a second key, without a copy. Each stays when the other is removed or replaced, and
    /// both count as space of their sessions. Fails like `put`, and if there is no such blob.
    fn link(&self, from: &BlobKey, to: &BlobKey) -> io::Result<()>;

    /// Reads a blob into memory.
    fn get(&self, key: &BlobKey) -> io::Result<Vec<u8>>;

    /// A view of a large blob, which need not be in memory. It stays valid when the blob is
    /// removed or replaced.
    fn view(&self, key: &BlobKey) -> io::Result<BlobView>;

    /// Removes a blob. One that does not exist counts as removed.
    fn remove(&self, key: &BlobKey) -> io::Result<()>;

    /// Removes all blobs of a session, including those being written. Can be repeated.
    fn remove_session(&self, session: SessionId) -> io::Result<()>;

    /// Fails if there is too little space for more blobs.
    fn check_space(&self) -> io::Result<()>;

    /// Brings the metrics of the space up to date.
    fn measure_space(&self) -> io::Result<()>;
}

impl dyn Blobs + '_ {
    /// Removes a blob. One that cannot be removed stays until its session ends.
    pub fn remove_or_warn(&self, key: &BlobKey) {
        if let Err(error) = self.remove(key) {
            tracing::warn!(%key, %error, "cannot remove a file; it stays until its session ends");
        }
    }

    /// Writes a blob from memory.
    pub fn put_bytes(&self, key: &BlobKey, content: &[u8]) -> io::Result<()> {
        let mut draft = self.draft(key)?;
        draft.write_all(content)?;
        self.put(draft)
    }
}

/// Removes blobs without blocking the async runtime, if this is called on it.
pub(crate) fn remove_in_background(blobs: &Arc<dyn Blobs>, keys: Vec<BlobKey>) {
    if keys.is_empty() {
        return;
    }
    let blobs = blobs.clone();
    let remove = move || keys.iter().for_each(|key| blobs.remove_or_warn(key));
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(remove)),
        Err(_) => remove(),
    }
}

/// Removes a blob when it is dropped.
pub(crate) struct RemovedOnDrop {
    pub blobs: Arc<dyn Blobs>,
    pub key: BlobKey,
}

impl Drop for RemovedOnDrop {
    fn drop(&mut self) {
        self.blobs.remove_or_warn(&self.key);
    }
}

/// A blob that is being written. Dropped without being published, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Draft {
    key: BlobKey,
    file: File,
    /// Removes the file when it is dropped.
    path: TempPath,
}

impl Draft {
    pub fn key(&self) -> &BlobKey {
        &self.key
    }

    /// The local file, for writers that open it themselves.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Draft {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}
