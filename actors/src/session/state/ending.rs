//! The end of the session.

use std::sync::atomic::Ordering;

use super::State;
use crate::session::ledger::Record;
use crate::session_event::CloseReason;

impl State {
    pub(super) fn check_expiry(&mut self) {
        let busy = !self.requests.is_empty()
            || !self.uploads.is_empty()
            || self.followers.is_busy()
            || self.results.is_writing();
        if busy {
            self.activity.touch();
        }
        if !self.activity.check_later(&self.context) {
            self.close(CloseReason::Expired);
        }
    }

    /// Ends the session. The supervisor removes its files.
    pub(super) fn close(&mut self, reason: CloseReason) {
        tracing::info!(%reason, "session ends");
        self.context.metrics.sessions.ended(reason);
        match reason {
            CloseReason::ShuttingDown => self.shutdown.note(),
            // If the files cannot be removed, the next process does not go on with them.
            CloseReason::Deleted | CloseReason::Expired => self.record(Record::SessionEnded),
            CloseReason::Failed => {}
            CloseReason::Moved => self.stays.store(true, Ordering::Relaxed),
        }
        if self.goes_on_later() {
            let at = self.activity.last();
            self.record(Record::SessionUsed { at });
            self.stays.store(true, Ordering::Relaxed);
        }
        if reason == CloseReason::ShuttingDown {
            self.refuse_waiting_requests();
            self.give_up_running_request();
            self.take_turns();
        }
        self.closed = true;
        // A session ends once.
        let _ = self.ends.set(reason);
        self.clients.close(reason);
        let reason = Some(reason.to_string());
        self.context.mailbox.actor().stop(reason);
    }
}
