//! How much disk space the sessions use, and how much they may.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
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
    used: Arc<Mutex<HashMap<SessionId, Share>>>,
    metrics: DiskMetrics,
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
        if new > old {
            let free = self.measure()?;
            if free < self.limits.reserve {
                return Err(self.refused(NoSpace::Disk));
            }
        }
        let mut used = self.lock();
        let all = sum(used.values());
        let share = used.get(&session);
        let of_session = share.map_or(0, |share| share.bytes);
        let creator = share.and_then(|share| share.creator.clone());
        let of_client = match &creator {
            Some(_) => sum(used.values().filter(|share| share.creator == creator)),
            None => of_session,
        };
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
        used.entry(session).or_default().bytes = after(of_session);
        self.metrics.used(after(all));
        Ok(())
    }

    /// The session counts for its creator from now on.
    pub fn charge(&self, session: SessionId, creator: Option<Arc<str>>) {
        self.lock().entry(session).or_default().creator = creator;
    }

    /// A session has these files since an earlier process.
    pub fn restored(&self, session: SessionId, bytes: u64) {
        let mut used = self.lock();
        used.entry(session).or_default().bytes = bytes;
        self.metrics.used(sum(used.values()));
    }

    /// The session has no files any more.
    pub fn forget(&self, session: SessionId) {
        let mut used = self.lock();
        used.remove(&session);
        self.metrics.used(sum(used.values()));
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
        let found = rustix::fs::statvfs(self.folder.as_path())?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let left = self.limits.all.saturating_sub(sum(self.lock().values()));
        let available = free.saturating_sub(self.limits.reserve).min(left);
        self.metrics.free(free, available);
        Ok(free)
    }

    /// Counts a file that is not stored.
    fn refused(&self, why: NoSpace) -> io::Error {
        self.metrics.refused((&why).into());
        why.into()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Share>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sum<'a>(shares: impl Iterator<Item = &'a Share>) -> u64 {
    let bytes = shares.map(|share| share.bytes);
    bytes.fold(0, u64::saturating_add)
}
