//! Folders of ended sessions that could not be removed: tried again, a few times.

use std::slice;
use std::time::Duration;

use super::{State, SupervisorMessage};
use crate::event::SessionId;

/// How long to wait before each further try. After the last one the folder stays until the next
/// start, which removes whatever is there.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// A folder that is still there.
pub(super) struct Leftover {
    pauses: slice::Iter<'static, Duration>,
    /// Whether the next try has its time already.
    scheduled: bool,
}

impl State {
    /// A folder could not be removed: has it tried again if it was not tried often enough.
    pub(super) fn keep_leftover(&mut self, id: SessionId) {
        let leftover = self.leftovers.entry(id).or_insert_with(|| Leftover {
            pauses: PAUSES.iter(),
            scheduled: false,
        });
        // A client's own try takes none of these.
        if leftover.scheduled {
            return;
        }
        if let Some(pause) = leftover.pauses.next() {
            leftover.scheduled = true;
            let again = SupervisorMessage::RemoveAgain(id);
            self.mailbox.cast_after(*pause, again);
        } else {
            self.leftovers.remove(&id);
            tracing::error!(session_id = %id, "a session's files stay until the next start");
        }
    }

    /// A folder is gone.
    pub(super) fn forget_leftover(&mut self, id: SessionId) {
        if self.leftovers.remove(&id).is_some() {
            tracing::info!(session_id = %id, "a session's files are gone at last");
        }
    }

    pub(super) fn remove_again(&mut self, id: SessionId) {
        // Gone meanwhile.
        let Some(leftover) = self.leftovers.get_mut(&id) else {
            return;
        };
        leftover.scheduled = false;
        // A client has it tried just now: if that fails, the next pause begins.
        if !self.leaving.contains_key(&id) {
            self.remove_folder(id, Vec::new());
        }
    }
}
