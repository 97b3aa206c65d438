//! Folders of ended sessions that could not be removed: when to try again.

use std::collections::HashMap;
use std::slice;
use std::time::Duration;

use crate::ids::SessionId;

/// Delays before each further attempt. After the last one the folder stays until the next start of
/// the server, which removes it.
const DELAYS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// Sessions that have ended but whose files could not be removed.
#[derive(Default)]
pub(super) struct Leftovers {
    sessions: HashMap<SessionId, Leftover>,
}

struct Leftover {
    delays: slice::Iter<'static, Duration>,
    /// Whether the next attempt is scheduled already.
    scheduled: bool,
}

/// What to do after a failed attempt.
pub(super) enum Next {
    /// Try again after this delay.
    Retry(Duration),
    /// An attempt is scheduled already.
    Scheduled,
    /// The folder stays until the next start of the server.
    GiveUp,
}

impl Leftovers {
    pub fn contains(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// An attempt failed.
    pub fn failed(&mut self, id: SessionId) -> Next {
        let leftover = self.sessions.entry(id).or_insert_with(|| Leftover {
            delays: DELAYS.iter(),
            scheduled: false,
        });
        // An attempt that a client asked for does not use up a delay.
        if leftover.scheduled {
            return Next::Scheduled;
        }
        match leftover.delays.next() {
            Some(delay) => {
                leftover.scheduled = true;
                Next::Retry(*delay)
            }
            None => {
                self.sessions.remove(&id);
                Next::GiveUp
            }
        }
    }

    /// The files are removed. Returns whether an earlier attempt had failed.
    pub fn removed(&mut self, id: SessionId) -> bool {
        self.sessions.remove(&id).is_some()
    }

    /// The time of a scheduled attempt has come. Returns whether the files are still there.
    pub fn due(&mut self, id: SessionId) -> bool {
        match self.sessions.get_mut(&id) {
            Some(leftover) => {
                leftover.scheduled = false;
                true
            }
            None => false,
        }
    }
}
