//! What the model has computed of frames, kept for later jobs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pointstream_reconstruction::geometry::FrameSize;
use pointstream_reconstruction::model::Features;

use crate::blobs::BlobKey;
use crate::ids::SessionId;
use crate::jobs::JobSpec;
use crate::memory::{MemoryBudget, MemoryLease};

/// A cache of encoded frames of one model and of its own maps, within a budget of memory. What does
/// not fit is not kept, and is computed again when it is needed.
#[derive(Debug)]
pub(crate) struct EncodedFrames {
    budget: MemoryBudget,
    /// By session, so that a session's frames are dropped together.
    sessions: Mutex<HashMap<SessionId, Frames>>,
}

type Frames = HashMap<(BlobKey, Kind), Entry>;

/// What is kept of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// The encoded frame.
    Features,
    /// The model's own maps, in the coordinates of the session's map.
    Maps,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Features, Self::Maps];
}

/// What is kept of a frame, with its part of the budget. A frame has one size at a time.
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

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Frames>> {
        // Entries are inserted and removed whole, so the content is valid after a panic too.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no more frames can be kept.
    pub fn is_full(&self) -> bool {
        self.budget.is_spent()
    }

    /// A frame that was encoded at this size.
    pub fn get(&self, frame: &BlobKey, size: FrameSize) -> Option<Arc<Features>> {
        self.find(frame, Kind::Features, size)
    }

    /// The model's own maps of a frame at this size.
    pub fn maps(&self, frame: &BlobKey, size: FrameSize) -> Option<Arc<Features>> {
        self.find(frame, Kind::Maps, size)
    }

    /// Keeps an encoded frame if the budget allows it.
    pub fn keep(&self, frame: BlobKey, features: &Arc<Features>) {
        self.insert(frame, Kind::Features, features);
    }

    /// Keeps the model's own maps of a frame if the budget allows it.
    pub fn keep_maps(&self, frame: BlobKey, maps: &Arc<Features>) {
        self.insert(frame, Kind::Maps, maps);
    }

    fn find(&self, frame: &BlobKey, kind: Kind, size: FrameSize) -> Option<Arc<Features>> {
        let sessions = self.sessions();
        let entry = sessions.get(&frame.session)?.get(&(*frame, kind))?;
        (entry.features.size() == size).then(|| entry.features.clone())
    }

    fn insert(&self, frame: BlobKey, kind: Kind, features: &Arc<Features>) {
        // What is replaced makes room first.
        drop(self.take(&frame, kind));
        let mut sessions = self.sessions();
        let frames = sessions.entry(frame.session).or_default();
        if let Some(lease) = self.budget.try_take(features.bytes()) {
            let entry = Entry {
                features: features.clone(),
                _lease: lease,
            };
            frames.insert((frame, kind), entry);
        } else if frames.is_empty() {
            sessions.remove(&frame.session);
        }
    }

    /// Takes an entry out. Freeing the memory of a device takes time, so the caller drops it,
    /// without the lock.
    fn take(&self, frame: &BlobKey, kind: Kind) -> Option<Entry> {
        let mut sessions = self.sessions();
        sessions.get_mut(&frame.session)?.remove(&(*frame, kind))
    }

    /// Drops the frames of a session.
    pub fn forget(&self, session: SessionId) {
        let dropped = self.sessions().remove(&session);
        drop(dropped);
    }

    /// Drops the model's own maps of the frames of a session.
    pub fn forget_maps(&self, session: SessionId) {
        let mut sessions = self.sessions();
        let Some(frames) = sessions.get_mut(&session) else {
            return;
        };
        let dropped: Vec<Entry> = frames
            .extract_if(|(_, kind), _| *kind == Kind::Maps)
            .map(|(_, entry)| entry)
            .collect();
        drop(sessions);
        drop(dropped);
    }

    /// Drops the frames of a job.
    pub fn forget_frames_of(&self, spec: &JobSpec) {
        let frames = spec.frames.iter().map(|frame| frame.blob);
        self.forget_frames(spec.session, frames);
    }

    /// Drops some frames of a session.
    pub fn forget_frames(&self, session: SessionId, frames: impl Iterator<Item = BlobKey>) {
        for frame in frames {
            for kind in Kind::ALL {
                drop(self.take(&frame, kind));
            }
        }
        let mut sessions = self.sessions();
        if sessions.get(&session).is_some_and(HashMap::is_empty) {
            sessions.remove(&session);
        }
    }
}
