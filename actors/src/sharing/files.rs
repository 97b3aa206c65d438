//! The files of shared sessions: the data directory has those that this gateway has used, the store of shared
//! files all that journals rely on.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use uuid::Uuid;

use super::session::SharedSession;
use super::{Sharing, lock};
use crate::blobs::{BlobKey, BlobName, BlobView, Blobs, Draft};
use crate::ids::SessionId;
use crate::journal::JournalError;
use crate::remote::exchange::ExchangeError;
use crate::remote::sealed::SealedBlob;

/// Objects that are removed at the same time.
const REMOVALS: usize = 16;

/// The files of shared sessions.
#[derive(Debug)]
pub(crate) struct SharedFiles {
    local: Arc<dyn Blobs>,
    sharing: Arc<Sharing>,
}

impl SharedFiles {
    /// `local` has the files that this gateway has used.
    pub fn new(local: Arc<dyn Blobs>, sharing: Arc<Sharing>) -> Self {
        Self { local, sharing }
    }

    pub(super) fn sharing(&self) -> &Arc<Sharing> {
        &self.sharing
    }

    /// Stores files of a session that are not shared yet. Those that were removed since are left out, but for
    /// images, which stay as long as their session. Blocks.
    pub(super) fn store(
        &self,
        session: SessionId,
        shared: &SharedSession,
        names: &[BlobName],
    ) -> io::Result<Vec<SealedBlob>> {
        let mut stored: Vec<SealedBlob> = Vec::new();
        for name in names {
            if shared.has(name) || stored.iter().any(|blob| blob.key.name == *name) {
                continue;
            }
            let key = BlobKey {
                session,
                name: *name,
            };
            let content = match self.local.get(&key) {
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        && !matches!(name, BlobName::Original(_) | BlobName::Prepared(_)) =>
                {
                    continue;
                }
                content => content,
            };
            let blob = content.and_then(|content| {
                let storing = self.sharing.store_object(key, content);
                self.sharing.runtime.block_on(storing)
            });
            match blob {
                Ok(blob) => stored.push(blob),
                Err(error) => {
                    self.sharing.remove_objects(stored);
                    return Err(error);
                }
            }
        }
        Ok(stored)
    }

    /// Another gateway has the session: forgets what this one knows and has of it. Blocks.
    ///
    /// # Errors
    /// If its folder cannot be removed.
    pub fn let_go(&self, session: SessionId) -> io::Result<()> {
        self.sharing.sessions().remove(&session);
        self.local.remove_session(session)
    }

    /// Fetches a file that this gateway has not used yet. Returns whether it is there now.
    fn fetch(&self, key: &BlobKey) -> io::Result<bool> {
        let Some(shared) = self.sharing.session(key.session) else {
            return Ok(false);
        };
        let _one = lock(&shared.fetching);
        let Some(blob) = shared.file(&key.name) else {
            return Ok(false);
        };
        if self.local.view(key).is_ok() {
            return Ok(true);
        }
        let fetching = blob.fetch(&self.sharing.link.files, blob.bytes);
        let content = self.sharing.runtime.block_on(fetching);
        if let Err(error) = &content {
            tracing::warn!(%key, object = blob.object, %error, "a shared file cannot be fetched");
        }
        self.local.put_bytes(key, &content.map_err(unfetched)?)?;
        Ok(true)
    }

    /// Reads a file, which is fetched first if it is not here.
    fn here<T>(&self, key: &BlobKey, read: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.fetch(key)? => read(),
            outcome => outcome,
        }
    }

    /// Checks that the session's journal has these files, with their sizes as far as they are known.
    fn check(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<Arc<SharedSession>> {
        let shared = self.sharing.session(session);
        let shared = shared.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let sizes = shared.sizes();
        for (name, expected) in blobs {
            let problem = match (sizes.get(name), expected) {
                (None, _) => format!("{name} is missing"),
                (Some(found), Some(size)) if found != size => {
                    format!("{name} has {found} bytes instead of {size}")
                }
                _ => continue,
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(shared)
    }
}

impl Blobs for SharedFiles {
    fn create_session(&self, session: SessionId) -> io::Result<()> {
        self.local.create_session(session)
    }

    fn charge(&self, session: SessionId, creator: Option<Arc<str>>) {
        self.local.charge(session, creator);
    }

    fn draft(&self, key: &BlobKey) -> io::Result<Draft> {
        self.local.draft(key)
    }

    fn put(&self, draft: Draft) -> io::Result<()> {
        let key = *draft.key();
        self.local.put(draft)?;
        if let Some(shared) = self.sharing.session(key.session) {
            shared.replaced(&key.name);
        }
        Ok(())
    }

    /// The journal shares the files that it relies on.
    fn sync(&self, _: SessionId, _: &[BlobName]) -> io::Result<()> {
        Ok(())
    }

    fn check_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()> {
        self.check(session, blobs).map(drop)
    }

    /// The folder is empty then: what the session needs is fetched when it is used.
    fn restore_session(
        &self,
        session: SessionId,
        blobs: &BTreeMap<BlobName, Option<u64>>,
    ) -> io::Result<()> {
        let shared = self.check(session, blobs)?;
        match self.local.create_session(session) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => self.local.restore_session(session, &BTreeMap::new())?,
        }
        let sizes = shared.sizes().into_keys();
        let unknown = sizes.filter(|name| !blobs.contains_key(name));
        let unknown = unknown.filter_map(|name| shared.take(&name)).collect();
        self.sharing.remove_objects(unknown);
        Ok(())
    }

    /// The journal and the files stay where they are; no gateway takes the session over any more.
    fn set_aside(&self, session: SessionId) -> io::Result<PathBuf> {
        let sharing = &self.sharing;
        let marked = sharing.runtime.block_on(sharing.mark_damaged(session));
        marked.map_err(io::Error::other)?;
        sharing.sessions().remove(&session);
        if let Err(error) = self.local.remove_session(session) {
            tracing::debug!(session_id = %session, %error, "the folder of a damaged session stays");
        }
        Ok(sharing.link.names.journal_of(session).into())
    }

    fn link(&self, from: &BlobKey, to: &BlobKey) -> io::Result<()> {
        self.here(from, || self.local.link(from, to))
    }

    fn get(&self, key: &BlobKey) -> io::Result<Vec<u8>> {
        self.here(key, || self.local.get(key))
    }

    fn view(&self, key: &BlobKey) -> io::Result<BlobView> {
        self.here(key, || self.local.view(key))
    }

    fn remove(&self, key: &BlobKey) -> io::Result<()> {
        self.local.remove(key)?;
        let shared = self.sharing.session(key.session);
        let object = shared.and_then(|shared| shared.take(&key.name));
        self.sharing.remove_objects(object.into_iter().collect());
        Ok(())
    }

    /// Of a session that another gateway has, only what is here.
    fn remove_session(&self, session: SessionId) -> io::Result<()> {
        let sharing = &self.sharing;
        self.local.remove_session(session)?;
        let shared = sharing.session(session);
        let removed = match &shared {
            Some(shared) if shared.is_written() => {
                let mut tail = lock(&shared.tail);
                let confirmed = sharing.runtime.block_on(sharing.confirm(session, *tail));
                match confirmed {
                    Ok(message) => {
                        *tail = message;
                        sharing.runtime.block_on(sharing.erase(session, shared))
                    }
                    Err(JournalError::Taken) => Ok(()),
                    Err(error) => Err(io::Error::other(error)),
                }
            }
            Some(_) => Ok(()),
            None => sharing.runtime.block_on(sharing.disown(session)),
        };
        removed?;
        sharing.sessions().remove(&session);
        Ok(())
    }

    fn check_space(&self) -> io::Result<()> {
        self.local.check_space()
    }

    fn measure_space(&self) -> io::Result<()> {
        self.local.measure_space()
    }
}

/// What the names of a session's objects begin with.
fn folder_of(session: SessionId) -> String {
    format!("sessions/{session}")
}

/// Why a file could not be fetched, in words of the system.
pub(super) fn unfetched(error: ExchangeError) -> io::Error {
    let kind = match error {
        ExchangeError::Missing => io::ErrorKind::NotFound,
        ExchangeError::Changed | ExchangeError::TooLarge { .. } => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Sharing {
    pub(super) async fn store_object(
        &self,
        key: BlobKey,
        content: Vec<u8>,
    ) -> io::Result<SealedBlob> {
        let object = format!("{}/{}", folder_of(key.session), Uuid::new_v4());
        let stored = SealedBlob::store(&self.link.files, object, key, content).await;
        stored.map_err(io::Error::other)
    }

    /// Removes objects in the background. One that cannot be removed stays in the store.
    pub(super) fn remove_objects(&self, objects: Vec<SealedBlob>) {
        if objects.is_empty() {
            return;
        }
        let files = self.link.files.clone();
        self.runtime.spawn(async move {
            for blob in objects {
                tracing::debug!(key = %blob.key, object = blob.object, "a shared file is removed");
                if let Err(error) = files.erase(&blob.object).await {
                    tracing::warn!(object = blob.object, %error, "cannot remove a shared file");
                }
            }
        });
    }

    /// Removes all that is shared of a session that this gateway has.
    async fn erase(&self, session: SessionId, shared: &SharedSession) -> io::Result<()> {
        let mut objects: HashSet<String> = shared
            .take_all()
            .into_iter()
            .map(|blob| blob.object)
            .collect();
        if shared.is_restored() {
            let found = self.link.files.list(&folder_of(session)).await;
            objects.extend(found.map_err(io::Error::other)?);
        }
        let subject = self.link.names.journal_of(session);
        let purged = self.link.journals.purge().filter(subject).await;
        purged.map_err(io::Error::other)?;
        tracing::debug!(session_id = %session, objects = objects.len(), "all that is shared of a session is removed");
        let mut removals = stream::iter(&objects)
            .map(|object| async move { (object, self.link.files.erase(object).await) })
            .buffer_unordered(REMOVALS);
        while let Some((object, removed)) = removals.next().await {
            if let Err(error) = removed {
                tracing::warn!(object, %error, "cannot remove a shared file");
            }
        }
        self.disown(session).await
    }
}
