//! A store of blobs that a test watches and holds up.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::blobs::{BlobKey, BlobName, BlobView, Blobs, Draft};
use crate::ids::SessionId;

/// What is about to be done.
pub(crate) enum Access<'a> {
    /// Blobs are made durable.
    Sync(&'a [BlobName]),
    /// A blob is begun.
    Draft(&'a BlobKey),
}

/// Blobs of which some accesses are seen, and may wait or fail, before they are done.
pub(crate) struct WatchedBlobs<F> {
    pub blobs: Arc<dyn Blobs>,
    pub watch: F,
}

impl<F> fmt::Debug for WatchedBlobs<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blobs.fmt(formatter)
    }
}

impl<F: Fn(Access<'_>) -> io::Result<()> + Send + Sync> Blobs for WatchedBlobs<F> {
    fn create_session(&self, session: SessionId) -> io::Result<()> {
        self.blobs.create_session(session)
    }

    fn charge(&self, session: SessionId, creator: Option<Arc<str>>) {
        self.blobs.charge(session, creator);
    }

    fn draft(&self, key: &BlobKey) -> io::Result<Draft> {
        (self.watch)(Access::Draft(key))?;
        self.blobs.draft(key)
    }

    fn put(&self, draft: Draft) -> io::Result<()> {
        self.blobs.put(draft)
    }

    fn sync(&self, session: SessionId, names: &[BlobName]) -> io::Result<()> {
        (self.watch)(Access::Sync(names))?;
        self.blobs.sync(session, names)
    }

    fn check_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()> {
        self.blobs.check_session(session, blobs)
    }

    fn restore_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()> {
        self.blobs.restore_session(session, blobs)
    }

    fn set_aside(&self, session: SessionId) -> io::Result<PathBuf> {
        self.blobs.set_aside(session)
    }

    fn link(&self, from: &BlobKey, to: &BlobKey) -> io::Result<()> {
        self.blobs.link(from, to)
    }

    fn get(&self, key: &BlobKey) -> io::Result<Vec<u8>> {
        self.blobs.get(key)
    }

    fn view(&self, key: &BlobKey) -> io::Result<BlobView> {
        self.blobs.view(key)
    }

    fn remove(&self, key: &BlobKey) -> io::Result<()> {
        self.blobs.remove(key)
    }

    fn remove_session(&self, session: SessionId) -> io::Result<()> {
        self.blobs.remove_session(session)
    }

    fn check_space(&self) -> io::Result<()> {
        self.blobs.check_space()
    }

    fn measure_space(&self) -> io::Result<()> {
        self.blobs.measure_space()
    }
}
