//! The files of sessions that a node has: frames that it was sent, and what earlier runs tell about them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::blobs::{BlobKey, Blobs};
use crate::ids::SessionId;
use crate::remote::wire::MapsId;

/// Files of a session that no assignment has used for so long are removed. They may be sent again.
const LONGEST_IDLE: Duration = Duration::from_secs(3600);

/// A bounded cache of files. Those of the session that was used least recently make room.
#[derive(Clone)]
pub(super) struct NodeFiles {
    blobs: Arc<dyn Blobs>,
    sessions: Arc<Mutex<HashMap<SessionId, Kept>>>,
}

/// The files of a session.
struct Kept {
    keys: HashSet<BlobKey>,
    /// Assignments that use them.
    users: usize,
    used: Instant,
    /// The coordinates of the maps that the model has made of them.
    maps: MapsId,
}

/// Keeps a session's files while an assignment uses them.
pub(super) struct InUse {
    files: NodeFiles,
    session: SessionId,
}

impl Drop for InUse {
    fn drop(&mut self) {
        // A session that has ended is gone already.
        if let Some(kept) = self.files.sessions().get_mut(&self.session) {
            kept.users = kept.users.saturating_sub(1);
            kept.used = Instant::now();
        }
    }
}

impl NodeFiles {
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self {
            blobs,
            sessions: Arc::default(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Kept>> {
        // Entries are inserted and removed whole, so the content is valid after a panic too.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to use a session's files. Also tells whether the model's maps of it are out of date.
    ///
    /// # Errors
    /// If there cannot be a folder for them.
    pub async fn begin(&self, session: SessionId, maps: MapsId) -> io::Result<(InUse, bool)> {
        let known = self.sessions().contains_key(&session);
        if !known {
            self.blocking(move |blobs| blobs.create_session(session))
                .await?;
        }
        let mut sessions = self.sessions();
        let kept = sessions.entry(session).or_insert_with(|| Kept {
            keys: HashSet::new(),
            users: 0,
            used: Instant::now(),
            maps,
        });
        kept.users += 1;
        let are_old = std::mem::replace(&mut kept.maps, maps) != maps;
        drop(sessions);
        let files = self.clone();
        Ok((InUse { files, session }, are_old))
    }

    pub fn has(&self, key: &BlobKey) -> bool {
        let sessions = self.sessions();
        sessions
            .get(&key.session)
            .is_some_and(|kept| kept.keys.contains(key))
    }

    /// Keeps a file. If there is too little space, those of other sessions go.
    ///
    /// # Errors
    /// If that does not help.
    pub async fn keep(&self, key: BlobKey, content: Vec<u8>) -> io::Result<()> {
        let content = Arc::new(content);
        loop {
            let writing = content.clone();
            let written = self
                .blocking(move |blobs| blobs.put_bytes(&key, &writing))
                .await;
            match written {
                Ok(()) => break,
                Err(error) if is_full(&error) => match self.oldest_idle() {
                    Some(oldest) => self.forget(oldest).await,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
        if let Some(kept) = self.sessions().get_mut(&key.session) {
            kept.keys.insert(key);
        }
        Ok(())
    }

    /// Removes the files of a session.
    pub async fn forget(&self, session: SessionId) {
        if self.sessions().remove(&session).is_none() {
            return;
        }
        let removed = self.blocking(move |blobs| blobs.remove_session(session));
        if let Err(error) = removed.await {
            tracing::warn!(session_id = %session, %error, "cannot remove the files of a session");
        }
    }

    /// Removes the files of sessions that were not used for long.
    pub async fn sweep(&self) {
        while let Some(session) = self.oldest_idle_for(LONGEST_IDLE) {
            self.forget(session).await;
        }
    }

    fn oldest_idle(&self) -> Option<SessionId> {
        self.oldest_idle_for(Duration::ZERO)
    }

    fn oldest_idle_for(&self, time: Duration) -> Option<SessionId> {
        let sessions = self.sessions();
        let idle = sessions
            .iter()
            .filter(|(_, kept)| kept.users == 0 && kept.used.elapsed() >= time);
        idle.min_by_key(|(_, kept)| kept.used)
            .map(|(session, _)| *session)
    }

    /// Reads a file and removes it.
    pub async fn take(&self, key: BlobKey) -> io::Result<Vec<u8>> {
        self.blocking(move |blobs| {
            let content = blobs.get(&key);
            blobs.remove_or_warn(&key);
            content
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Blobs) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || work(blobs.as_ref()))
            .await
            .map_err(io::Error::other)?
    }
}

fn is_full(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::QuotaExceeded, io::ErrorKind::StorageFull];
    kinds.contains(&error.kind())
}
