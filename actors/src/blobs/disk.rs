//! How much disk space the sessions use, and how much they may.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strum::IntoStaticStr;
use thiserror::Error;

use crate::ids::SessionId;
use crate::metrics::DiskMetrics;

/// How much disk space sessions may use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// All sessions together.
    pub all: u64,
    /// All sessions of one creator. A session that has none counts alone.
    pub client: u64,
    /// Each session.
    pub session: u64,
    /// What stays free on the disk.
    pub reserve: u64,
}

impl DiskLimits {
    /// No limit but the disk itself.
    pub const NONE: Self = Self {
        all: u64::MAX,
        client: u64::MAX,
        session: u64::MAX,
        reserve: 0,
    };
}

/// A file is not stored, since there would be too little space afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum NoSpace {
    #[error("the session has used all of its {0} bytes of disk space; begin another session")]
    Session(u64),
    #[error(
        "all sessions of this client have used their {0} bytes of disk space; delete some, or try again later"
    )]
    Client(u64),
    #[error(
        "all sessions have used their {0} bytes of disk space; delete some, or try again later"
    )]
    All(u64),
    #[error("the disk of the server is nearly full; try again later")]
    Disk,
}

/// Bytes of a folder's disk that are free. Blocks.
///
/// # Errors
/// If the system does not tell.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

impl From<NoSpace> for io::Error {
    fn from(error: NoSpace) -> Self {
        let kind = match error {
            NoSpace::Session(_) | NoSpace::Client(_) | NoSpace::All(_) => {
                io::ErrorKind::QuotaExceeded
            }
            NoSpace::Disk => io::ErrorKind::StorageFull,
        };
        Self::new(kind, error)
    }
}

/// The disk space of the sessions. Clones share the account.
#[derive(Debug, Clone)]
pub(crate) struct DiskAccount {
    /// A folder on the disk.
    folder: Arc<PathBuf>,
    limits: DiskLimits,
    used: Arc<Mutex<Used>>,
    metrics: DiskMetrics,
}

#[derive(Debug, Default)]
struct Used {
    sessions: HashMap<SessionId, Share>,
    open: HashMap<Inode, Open>,
}

/// A file, whatever its names.
type Inode = (u64, u64);

/// A file that is open. It takes space until it is closed, also without a name.
#[derive(Debug)]
struct Open {
    bytes: u64,
    creator: Option<Arc<str>>,
    count: usize,
    /// It has lost its last name, so that no session counts it.
    is_removed: bool,
}

/// Counts an open file until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenFile {
    account: DiskAccount,
    inode: Inode,
}

impl Used {
    /// Bytes of all sessions, and of removed files that are still open.
    fn all(&self) -> u64 {
        let sessions = self.sessions.values().map(|share| share.bytes);
        total(sessions.chain(self.removed().map(|open| open.bytes)))
    }

    /// The same of the sessions of one creator.
    fn of_client(&self, creator: &Arc<str>) -> u64 {
        let of_client = |other: &Option<Arc<str>>| other.as_ref() == Some(creator);
        let sessions = self.sessions.values();
        let sessions = sessions.filter(|share| of_client(&share.creator));
        let removed = self.removed().filter(|open| of_client(&open.creator));
        total(
            sessions
                .map(|share| share.bytes)
                .chain(removed.map(|open| open.bytes)),
        )
    }

    fn removed(&self) -> impl Iterator<Item = &Open> {
        self.open.values().filter(|open| open.is_removed)
    }
}

/// What a session uses.
#[derive(Debug, Default)]
struct Share {
    bytes: u64,
    /// The name of its creator.
    creator: Option<Arc<str>>,
}

impl DiskAccount {
    pub fn new(folder: PathBuf, limits: DiskLimits, metrics: DiskMetrics) -> Self {
        Self {
            folder: Arc::new(folder),
            limits,
            used: Arc::default(),
            metrics,
        }
    }

    /// Counts `new` bytes in place of `old` ones.
    ///
    /// # Errors
    /// If the session, or all of them, would use more than they may, or the disk is nearly full.
    pub fn replace(&self, session: SessionId, old: u64, new: u64) -> io::Result<()> {
        if new > old && self.measure()? < self.limits.reserve {
            return Err(self.refused(NoSpace::Disk));
        }
        let mut used = self.lock();
        let all = used.all();
        let share = used.sessions.get(&session);
        let of_session = share.map_or(0, |share| share.bytes);
        let creator = share.and_then(|share| share.creator.clone());
        let of_client = creator.map_or(of_session, |creator| used.of_client(&creator));
        let after = |before: u64| before.saturating_sub(old).saturating_add(new);
        if new > old && after(of_session) > self.limits.session {
            return Err(self.refused(NoSpace::Session(self.limits.session)));
        }
        if new > old && after(of_client) > self.limits.client {
            return Err(self.refused(NoSpace::Client(self.limits.client)));
        }
        if new > old && after(all) > self.limits.all {
            return Err(self.refused(NoSpace::All(self.limits.all)));
        }
        used.sessions.entry(session).or_default().bytes = after(of_session);
        self.metrics.used(after(all));
        Ok(())
    }

    /// The session counts for its creator from now on.
    pub fn charge(&self, session: SessionId, creator: Option<Arc<str>>) {
        let mut used = self.lock();
        used.sessions.entry(session).or_default().creator = creator;
    }

    /// A session has these files since an earlier process.
    pub fn restored(&self, session: SessionId, bytes: u64) {
        let mut used = self.lock();
        used.sessions.entry(session).or_default().bytes = bytes;
        self.metrics.used(used.all());
    }

    /// The session has no files any more.
    pub fn forget(&self, session: SessionId) {
        let mut used = self.lock();
        used.sessions.remove(&session);
        self.metrics.used(used.all());
    }

    /// Fails if the disk has less free space than it should.
    ///
    /// # Errors
    /// Also if the system does not tell.
    pub fn check_free(&self) -> io::Result<()> {
        match self.measure()? < self.limits.reserve {
            true => Err(NoSpace::Disk.into()),
            false => Ok(()),
        }
    }

    /// Looks how many bytes of the disk are free.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn measure(&self) -> io::Result<u64> {
        let free = free_bytes(&self.folder)?;
        let left = self.limits.all.saturating_sub(self.lock().all());
        let available = free.saturating_sub(self.limits.reserve).min(left);
        self.metrics.free(free, available);
        Ok(free)
    }

    /// Counts a file that is not stored.
    fn refused(&self, why: NoSpace) -> io::Error {
        self.metrics.refused((&why).into());
        why.into()
    }

    /// A file of a session is open from now on, until what is returned is dropped.
    pub fn opened(&self, session: SessionId, file: &Metadata) -> OpenFile {
        let inode = inode(file);
        let mut used = self.lock();
        let share = used.sessions.get(&session);
        let creator = share.and_then(|share| share.creator.clone());
        let open = used.open.entry(inode).or_insert(Open {
            bytes: file.len(),
            creator,
            count: 0,
            is_removed: false,
        });
        open.count += 1;
        drop(used);
        OpenFile {
            account: self.clone(),
            inode,
        }
    }

    /// A file that was so before has lost a name. If that was the last one, it counts as long as it is open.
    pub fn unlinked(&self, file: &Metadata) {
        if file.nlink() > 1 {
            return;
        }
        let mut used = self.lock();
        if let Some(open) = used.open.get_mut(&inode(file)) {
            open.is_removed = true;
            self.metrics.used(used.all());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut used = self.account.lock();
        let Some(open) = used.open.get_mut(&self.inode) else {
            return;
        };
        open.count -= 1;
        if open.count == 0 {
            used.open.remove(&self.inode);
            self.account.metrics.used(used.all());
        }
    }
}

fn inode(file: &Metadata) -> Inode {
    (file.dev(), file.ino())
}

fn total(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}
