//! Encoded frames that are kept for later jobs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::Features;

use crate::blobs::BlobKey;
use crate::ids::SessionId;
use crate::jobs::JobSpec;
use crate::memory::{MemoryBudget, MemoryLease};

/// A cache of encoded frames of one model, within a budget of memory. What does not fit is not
/// kept, and is encoded again when it is needed.
#[derive(Debug)]
pub(crate) struct EncodedFrames {
    budget: MemoryBudget,
    /// By session, so that a session's frames are dropped together.
    sessions: Mutex<HashMap<SessionId, HashMap<BlobKey, Entry>>>,
}

/// An encoded frame with its part of the budget. A frame has one size at a time.
struct Entry {
    features: Arc<Features>,
    _lease: MemoryLease,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("size", &self.features.size())
            .field("bytes", &self.features.bytes())
            .finish()
    }
}

impl EncodedFrames {
    pub fn new(budget: MemoryBudget) -> Arc<Self> {
        Arc::new(Self {
            budget,
            sessions: Mutex::default(),
        })
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, HashMap<BlobKey, Entry>>> {
        // Entries are inserted and removed whole, so the content is valid after a panic too.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no more frames can be kept.
    pub fn is_full(&self) -> bool {
        self.budget.is_spent()
    }

    /// A frame that was encoded at this size.
    pub fn get(&self, frame: &BlobKey, size: FrameSize) -> Option<Arc<Features>> {
        let sessions = self.sessions();
        let entry = sessions.get(&frame.session)?.get(frame)?;
        (entry.features.size() == size).then(|| entry.features.clone())
    }

    /// Keeps an encoded frame if the budget allows it.
    pub fn keep(&self, frame: BlobKey, features: &Arc<Features>) {
        // What is replaced makes room first.
        drop(self.take(&frame));
        let mut sessions = self.sessions();
        let frames = sessions.entry(frame.session).or_default();
        if let Some(lease) = self.budget.try_take(features.bytes()) {
            let entry = Entry {
                features: features.clone(),
                _lease: lease,
            };
            frames.insert(frame, entry);
        } else if frames.is_empty() {
            sessions.remove(&frame.session);
        }
    }

    /// Takes a frame out. Freeing the memory of a device takes time, so the caller drops the frame,
    /// without the lock.
    fn take(&self, frame: &BlobKey) -> Option<Entry> {
        let mut sessions = self.sessions();
        sessions.get_mut(&frame.session)?.remove(frame)
    }

    /// Drops the frames of a session.
    pub fn forget(&self, session: SessionId) {
        let dropped = self.sessions().remove(&session);
        drop(dropped);
    }

    /// Drops the frames of a job.
    pub fn forget_frames_of(&self, spec: &JobSpec) {
        for frame in &spec.frames {
            drop(self.take(&frame.blob));
        }
        let mut sessions = self.sessions();
        if sessions.get(&spec.session).is_some_and(HashMap::is_empty) {
            sessions.remove(&spec.session);
        }
    }
}
