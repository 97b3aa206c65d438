//! How much disk space the sessions use, and how much they may.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::ids::SessionId;
use crate::metrics::DiskMetrics;

/// How much disk space sessions may use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// All sessions together.
    pub all: u64,
    /// Each session.
    pub session: u64,
    /// What stays free on the disk.
    pub reserve: u64,
}

impl DiskLimits {
    /// No limit but the disk itself.
    pub const NONE: Self = Self {
        all: u64::MAX,
        session: u64::MAX,
        reserve: 0,
    };
}

/// A file is not stored, since there would be too little space afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum NoSpace {
    #[error("the session has used all of its {0} bytes of disk space; begin another session")]
    Session(u64),
    #[error(
        "all sessions have used their {0} bytes of disk space; delete some, or try again later"
    )]
    All(u64),
    #[error("the disk of the server is nearly full; try again later")]
    Disk,
}

impl From<NoSpace> for io::Error {
    fn from(error: NoSpace) -> Self {
        let kind = match error {
            NoSpace::Session(_) | NoSpace::All(_) => io::ErrorKind::QuotaExceeded,
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
    used: Arc<Mutex<HashMap<SessionId, u64>>>,
    metrics: DiskMetrics,
}

impl DiskAccount {
    pub fn new(folder: PathBuf, limits: DiskLimits, metrics: DiskMetrics) -> Self {
        metrics.limit(limits.all);
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
        if new > old {
            self.check_free()?;
        }
        let mut used = self.lock();
        let all: u64 = used.values().sum();
        let of_session = used.get(&session).copied().unwrap_or(0);
        let after = |before: u64| before.saturating_sub(old).saturating_add(new);
        if new > old && after(of_session) > self.limits.session {
            return Err(NoSpace::Session(self.limits.session).into());
        }
        if new > old && after(all) > self.limits.all {
            return Err(NoSpace::All(self.limits.all).into());
        }
        used.insert(session, after(of_session));
        self.metrics.used(after(all));
        Ok(())
    }

    /// A session has these files since an earlier process.
    pub fn restored(&self, session: SessionId, bytes: u64) {
        let mut used = self.lock();
        used.insert(session, bytes);
        self.metrics.used(used.values().sum());
    }

    /// The session has no files any more.
    pub fn forget(&self, session: SessionId) {
        let mut used = self.lock();
        used.remove(&session);
        self.metrics.used(used.values().sum());
    }

    /// Fails if the disk has less free space than it should.
    ///
    /// # Errors
    /// Also if the system does not tell.
    pub fn check_free(&self) -> io::Result<()> {
        let found = rustix::fs::statvfs(self.folder.as_path())?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        self.metrics.free(free);
        match free < self.limits.reserve {
            true => Err(NoSpace::Disk.into()),
            false => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, u64>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
