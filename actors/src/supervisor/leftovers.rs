//! Folders of ended sessions that could not be removed: when to try again.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::SessionId;
use crate::outbox::{Event, EventContent};

/// Delays before each further attempt. After the last one the folder stays until the next start of
/// the server, which removes it.
const DELAYS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// What is known of a session that has ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// The name of the session's creator.
    pub creator: Option<Arc<str>>,
    /// What receivers of webhooks are told; `None` if there are none.
    pub tells: Option<EventContent>,
    /// What they may not have been told before; `None` if that is certain, or known to the outbox.
    pub had: Option<Vec<Event>>,
}

/// Sessions that have ended but whose files could not be removed.
#[derive(Default)]
pub(super) struct Leftovers {
    sessions: HashMap<SessionId, Leftover>,
}

struct Leftover {
    ended: Ended,
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
    /// A session, if it is among them.
    pub fn get(&self, id: SessionId) -> Option<&Ended> {
        self.sessions.get(&id).map(|leftover| &leftover.ended)
    }

    /// An attempt failed.
    pub fn failed(&mut self, id: SessionId, ended: Ended) -> Next {
        let leftover = self.sessions.entry(id).or_insert_with(|| Leftover {
            ended,
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

    /// The time of a scheduled attempt has come. Returns the session if the files are
    /// still there.
    pub fn due(&mut self, id: SessionId) -> Option<Ended> {
        let leftover = self.sessions.get_mut(&id)?;
        leftover.scheduled = false;
        Some(leftover.ended.clone())
    }
}
